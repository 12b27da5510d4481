EXTRA_DIST += \
	.ci/run .ci/cppcheck.supp \
	tests/requirements.tsv tests/coverage-of-contract tests/count-results \
	tests/check-unit tests/check-sources \
	tests/integration tests/lab

# Nothing that a run left behind goes into a release.
dist-hook:
	find '$(distdir)' -name __pycache__ -prune -exec rm -rf {} +

# Each installed header compiles alone, in C and in C++.
check-headers:
	@for h in $(iicpinclude_HEADERS); do \
	  name=iicp/$${h##*/}; \
	  echo "#include <$$name>" | $(CC) -std=c17 -Wall -Wextra -Werror -I$(top_srcdir)/lib -fsyntax-only -x c - || exit 1; \
	  if command -v g++ >/dev/null; then \
	    echo "#include <$$name>" | g++ -std=gnu++17 -Wall -Wextra -Werror -I$(top_srcdir)/lib -fsyntax-only -x c++ - || exit 1; \
	  fi; \
	done

# The library exports what the headers declare, versioned, and nothing else.
check-symbols: lib/libiicp.la
	@set -e; \
	nm -D --defined-only --with-symbol-versions lib/.libs/libiicp.so | awk '$$2 != "A" {print $$3}' | sort -u >lib/symbols.out; \
	if grep -v '^iicp_[a-z0-9_]*@@LIBIICP_0$$' lib/symbols.out; then echo 'exported without need' >&2; exit 1; fi; \
	for s in $$(cat $(addprefix $(top_srcdir)/,$(iicpinclude_HEADERS)) | \
	    tr '\n' ' ' | grep -o 'IICP_API[^;{]*(' | grep -o 'iicp_[a-z0-9_]* *(' | tr -d ' (' | sort -u); do \
	  grep -q "^$$s@@" lib/symbols.out || { echo "$$s is declared but not exported" >&2; exit 1; }; \
	done
CLEANFILES += lib/symbols.out

