#!/usr/bin/env python3
"""Private I2P networks of existing routers: see README.md beside this file."""

from testnet.cli import main

if __name__ == "__main__":
    main()
