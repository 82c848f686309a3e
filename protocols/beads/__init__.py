"""Steel balls: their centers in the CT to a fraction of a voxel, in the X-rays to a fraction of a pixel."""
