"""What the system tests stand on: a place with a working KVM, guests in it, gdb and a bare client against them."""
