"""From real X-rays to images that look synthetic, with nothing invented and nothing moved."""
