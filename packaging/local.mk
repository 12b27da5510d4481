# What packages need beside `make install`.
EXTRA_DIST += packaging/90-iicpd.preset packaging/build-deb packaging/build-rpm packaging/build-image \
	packaging/apparmor packaging/container packaging/grafana packaging/kubernetes packaging/prometheus packaging/rpm \
	packaging/debian/changelog packaging/debian/control packaging/debian/copyright packaging/debian/rules \
	packaging/debian/source/format packaging/debian/libiicp0.symbols \
	packaging/debian/iicpd.install packaging/debian/iicpd.postinst packaging/debian/iicpd.postrm packaging/debian/iicpd.prerm \
	packaging/debian/iicp.install packaging/debian/libiicp0.install packaging/debian/libiicp-dev.install \
	packaging/debian/iicpd.lintian-overrides packaging/debian/iicp.lintian-overrides \
	packaging/debian/libiicp0.lintian-overrides packaging/debian/libiicp-dev.lintian-overrides
