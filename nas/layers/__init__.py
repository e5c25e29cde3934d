"""The modules that networks are made of. They know numbers only, no architecture values.

Shapes: B images, N tokens (row by row over the square map, the class token first where there is one), C channels,
H = W = side of the map. Tokens travel as BNC, which is the channels-last map without a copy.
"""
