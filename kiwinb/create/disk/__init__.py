"""The ``oem`` disk image: laid out, filled and put together without mounting anything."""
