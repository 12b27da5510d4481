# conf/iicp.conf and docs/iicp.conf.5 come from the table of keys (daemon/config_table.c). They are kept
# in the tree for readers: `make generate` writes them anew, `make check-generated` finds drift.
EXTRA_PROGRAMS += conf/generate
conf_generate_SOURCES = conf/generate.c conf/generate.h conf/findings_page.c daemon/iicpctl/explain_words.c
conf_generate_CPPFLAGS = $(daemon_libiicpd_la_CPPFLAGS)
conf_generate_CFLAGS = $(daemon_libiicpd_la_CFLAGS)
conf_generate_LDADD = daemon/libiicpd.la
CLEANFILES += conf/generate conf/iicp.conf.new docs/iicp.conf.5.new docs/iicpd-findings.7.new
EXTRA_DIST += docs/make-events-page

# The configuration itself is the operator's: what is installed is the documented example.
dist_doc_DATA = README.md NEWS conf/iicp.conf
dist_man_MANS += docs/iicp.conf.5 docs/iicpd-findings.7 docs/iicpd-events.7

generate: conf/generate
	conf/generate sample >$(top_srcdir)/conf/iicp.conf
	conf/generate manual >$(top_srcdir)/docs/iicp.conf.5
	conf/generate findings >$(top_srcdir)/docs/iicpd-findings.7
	$(top_srcdir)/docs/make-events-page >$(top_srcdir)/docs/iicpd-events.7

check-generated: conf/generate
	$(AM_V_at)$(MKDIR_P) conf docs
	$(AM_V_at)conf/generate sample >conf/iicp.conf.new
	$(AM_V_at)conf/generate manual >docs/iicp.conf.5.new
	diff -u $(top_srcdir)/conf/iicp.conf conf/iicp.conf.new
	diff -u $(top_srcdir)/docs/iicp.conf.5 docs/iicp.conf.5.new
	$(AM_V_at)conf/generate findings >docs/iicpd-findings.7.new
	diff -u $(top_srcdir)/docs/iicpd-findings.7 docs/iicpd-findings.7.new
