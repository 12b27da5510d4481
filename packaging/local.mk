# What packages need beside `make install`.
EXTRA_DIST += packaging/90-iicpd.preset
