"""A private I2P network of existing routers on one machine.

It installs existing routers (i2pd in several versions, emissary, Java I2P), starts them in network
namespaces of their own with a private network id, seeds them with each other's router.info files,
and reports what they see, so that a router under test can be joined to them. Python 3 standard
library only. See README.md in the folder above.
"""
