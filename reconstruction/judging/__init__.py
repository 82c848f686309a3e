"""How good a reconstruction is: metrics, held-out donors, studies, tables and pictures."""
