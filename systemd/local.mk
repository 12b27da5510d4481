# The units name the folders of this build; the daemon is installed stopped and disabled.
UNITS_IN = systemd/iicpd.service systemd/iicpd@.service
UNITS_AS_THEY_ARE = systemd/iicpd.socket systemd/iicpd-relay.socket systemd/iicpd.slice
EXTRA_DIST += systemd/iicpd.service.in systemd/iicpd@.service.in $(UNITS_AS_THEY_ARE) \
	systemd/iicpd.sysusers systemd/iicpd.tmpfiles

systemd/iicpd.service: systemd/iicpd.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) systemd && $(UNIT_NAMES) $(top_srcdir)/systemd/iicpd.service.in >$@.tmp && mv $@.tmp $@
systemd/iicpd@.service: systemd/iicpd@.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) systemd && $(UNIT_NAMES) $(top_srcdir)/systemd/iicpd@.service.in >$@.tmp && mv $@.tmp $@
UNIT_NAMES = sed -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@bindir[@]|$(bindir)|g'
systemd/iicpd.catalog: daemon/iicpctl/explain_words.c systemd/make-catalog Makefile
	$(AM_V_GEN)$(MKDIR_P) systemd && \
	$(top_srcdir)/systemd/make-catalog $(top_srcdir)/daemon/iicpctl/explain_words.c >$@.tmp && mv $@.tmp $@
CLEANFILES += $(UNITS_IN) systemd/iicpd.catalog
EXTRA_DIST += systemd/make-catalog

if HAVE_SYSTEMD
nodist_systemdsystemunit_DATA = $(UNITS_IN)
catalogdir = $(prefix)/lib/systemd/catalog
nodist_catalog_DATA = systemd/iicpd.catalog
dist_systemdsystemunit_DATA = $(UNITS_AS_THEY_ARE)

install-data-hook: install-systemd
uninstall-hook: uninstall-systemd
install-systemd:
	$(MKDIR_P) '$(DESTDIR)$(sysusersdir)' '$(DESTDIR)$(tmpfilesdir)'
	$(INSTALL_DATA) $(top_srcdir)/systemd/iicpd.sysusers '$(DESTDIR)$(sysusersdir)/iicpd.conf'
	$(INSTALL_DATA) $(top_srcdir)/systemd/iicpd.tmpfiles '$(DESTDIR)$(tmpfilesdir)/iicpd.conf'
uninstall-systemd:
	rm -f '$(DESTDIR)$(sysusersdir)/iicpd.conf' '$(DESTDIR)$(tmpfilesdir)/iicpd.conf'
endif
