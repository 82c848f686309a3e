"""Where every exposure was taken from: steel balls in the CT, steel balls in the X-rays, one bundle adjustment."""
