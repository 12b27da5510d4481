# Completions of the shells; each asks `iicpctl complete`.
bashcompletiondir = $(datadir)/bash-completion/completions
zshcompletiondir = $(datadir)/zsh/site-functions
fishcompletiondir = $(datadir)/fish/vendor_completions.d
dist_zshcompletion_DATA = completions/_iicpctl
dist_fishcompletion_DATA = completions/iicpctl.fish
EXTRA_DIST += completions/iicpctl.bash

install-data-local: install-bash-completion
install-bash-completion:
	$(MKDIR_P) '$(DESTDIR)$(bashcompletiondir)'
	$(INSTALL_DATA) '$(srcdir)/completions/iicpctl.bash' '$(DESTDIR)$(bashcompletiondir)/iicpctl'
uninstall-local: uninstall-bash-completion
uninstall-bash-completion:
	rm -f '$(DESTDIR)$(bashcompletiondir)/iicpctl'
.PHONY: install-bash-completion uninstall-bash-completion
