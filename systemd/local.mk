# The unit names the folders of this build; the daemon is installed stopped and disabled.
EXTRA_DIST += systemd/iicpd.service.in systemd/iicpd.sysusers systemd/iicpd.tmpfiles

systemd/iicpd.service: systemd/iicpd.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) systemd && \
	sed -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@bindir[@]|$(bindir)|g' \
	  $(top_srcdir)/systemd/iicpd.service.in >$@.tmp && mv $@.tmp $@
CLEANFILES += systemd/iicpd.service

if HAVE_SYSTEMD
nodist_systemdsystemunit_DATA = systemd/iicpd.service

install-data-hook: install-systemd
uninstall-hook: uninstall-systemd
install-systemd:
	$(MKDIR_P) '$(DESTDIR)$(sysusersdir)' '$(DESTDIR)$(tmpfilesdir)'
	$(INSTALL_DATA) $(top_srcdir)/systemd/iicpd.sysusers '$(DESTDIR)$(sysusersdir)/iicpd.conf'
	$(INSTALL_DATA) $(top_srcdir)/systemd/iicpd.tmpfiles '$(DESTDIR)$(tmpfilesdir)/iicpd.conf'
uninstall-systemd:
	rm -f '$(DESTDIR)$(sysusersdir)/iicpd.conf' '$(DESTDIR)$(tmpfilesdir)/iicpd.conf'
endif
