# Manual pages; iicp.conf.5 is generated, see conf/local.mk.
dist_man_MANS += docs/iicpd.8 docs/iicpd.service.8 docs/iicpctl.8 docs/iicp.1 docs/iicpd-control.7 docs/iicpd-metrics.7
EXTRA_DIST += docs/status-page.png docs/decisions.md docs/client-matrix.md docs/nat-lab.md docs/guide-homelab.md docs/guide-team.md docs/guide-relay.md docs/fault-comparison.md
