"""The Intel lab: Debian's stock Bochs. (To come.)"""
NAME = "bochs"
