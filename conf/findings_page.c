/* SPDX-License-Identifier: Apache-2.0 */
#include "generate.h"

#include "findings/catalogue.h"
#include "guidance.h"
#include "iicpctl/explain.h"

#include <iicp/refusal.h>
#include <string.h>

/* iicpd-findings(7) out of the tables that the programs use. */

/* Text of a table as mdoc: no line starts with a control character, a hyphen that belongs to an option
 * stays one. */
static void text(FILE *f, const char *s) {
        size_t column = 0;

        while (*s) {
                size_t n = strcspn(s, " ");

                if (column && column + n + 1 > 78) {
                        fputc('\n', f);
                        column = 0;
                }
                if (column)
                        fputc(' ', f);
                if (!column && (*s == '.' || *s == '\''))
                        fputs("\\&", f);
                for (size_t i = 0; i < n; i++)
                        if (s[i] == '\\')
                                fputs("\\e", f);
                        else if (s[i] == '-')
                                fputs("\\-", f);
                        else
                                fputc(s[i], f);
                column += n + (column ? 1 : 0);
                s += n + strspn(s + n, " ");
        }
        fputc('\n', f);
}

static void labelled(FILE *f, const char *label, const char *s) {
        char line[1024];

        snprintf(line, sizeof line, "%s: %s", label, s);
        fputs(".br\n", f);
        text(f, line);
}

static void head(FILE *f) {
        fputs(".\\\" SPDX-License-Identifier: Apache-2.0\n.\\\" Generated from the tables of findings; make generate writes it.\n"
              ".Dd November 24, 2026\n.Dt IICPD-FINDINGS 7\n.Os\n.Sh NAME\n.Nm iicpd-findings\n"
              ".Nd what needs attention at an iicpd, and what to do\n.Sh DESCRIPTION\n"
              "Everything that needs attention at a node is a finding with a name.\n"
              "The same list is shown by\n.Ql iicpctl status ,\nby\n.Ql iicpctl status --json\nand\n.Pa /v1/findings\n"
              "of the control socket, and as\n.Ql iicp_finding_active\nof its metrics;\n.Ql iicpctl explain NAME\n"
              "prints the paragraph of one, without a daemon.\n"
              "A finding of weight\n.Cm fail\nmakes the node not ready,\n.Cm warn\nmakes it degraded,\n.Cm info\nis said and changes nothing.\n"
              "What follows from another finding names it as its cause and is folded under it: clock before internet before DNS\n"
              "before directory before registration, internet before route before relay.\n", f);
}

static void findings(FILE *f) {
        fputs(".Sh FINDINGS\nThe weight is the usual one; causes stand with the likeliest first.\n.Bl -tag -width Ds\n", f);
        for (size_t i = 0; i < finding_n_kinds; i++) {
                const struct finding_kind *k = &finding_kinds[i];

                fprintf(f, ".It Cm %s Pq %s\n", k->id, finding_severity_name(k->severity));
                text(f, k->means);
                labelled(f, "Causes", k->causes);
                labelled(f, "Do", k->todo);
                labelled(f, "Gone when", k->gone);
        }
        fputs(".El\n", f);
}

static void guidance(FILE *f) {
        fputs(".Sh GUIDANCE CODES\nWords of\n.Ql iicpctl netcheck ,\neach with a finding of its own whose name begins with\n.Ql route.\n.Bl -tag -width Ds\n", f);
        for (size_t i = 0; i < explain_n_guidance; i++) {
                fprintf(f, ".It Cm %s\n", explain_guidance[i].word);
                text(f, explain_guidance[i].text);
                labelled(f, "Do", explain_guidance[i].todo);
        }
        fputs(".El\n", f);
}

static void codes(FILE *f) {
        fputs(".Sh ERROR CODES\nWhat the directory and other nodes answer, beside the refusals of this node below.\n.Bl -tag -width Ds\n", f);
        for (size_t i = 0; i < explain_n_codes; i++) {
                fprintf(f, ".It Cm %s\n", explain_codes[i].word);
                text(f, explain_codes[i].text);
                labelled(f, "Do", explain_codes[i].todo);
        }
        fputs(".El\n.Sh REFUSALS OF TASKS\nWhat a caller of this node can be answered: HTTP status, slug, code.\n.Bl -tag -width Ds\n", f);
        for (int id = IICP_REFUSE_NONE + 1; id < IICP_REFUSE_MAX_; id++) {
                const struct iicp_refusal_info *r = iicp_refusal_info((enum iicp_refusal_id) id);

                fprintf(f, ".It %d Cm %s%s%s\n", r->status, r->code, r->iicp_code ? " No or Cm " : "", r->iicp_code ? r->iicp_code : "");
                text(f, r->message);
        }
        fputs(".El\n", f);
}

void findings_write_manual(FILE *f) {
        head(f);
        findings(f);
        guidance(f);
        codes(f);
        fputs(".Sh EXAMPLES\nWhat needs attention now, one line each:\n"
              ".Dl iicpctl status --json | jq -r '.findings[] | \"\\e(.severity) \\e(.id) \\e(.what)\"'\n"
              "What a name means, on a machine without a daemon:\n.Dl iicpctl explain backend.unreachable\n"
              ".Sh SEE ALSO\n.Xr iicp.conf 5 ,\n.Xr iicpd-events 7 ,\n.Xr iicpctl 8 ,\n.Xr iicpd 8\n", f);
}
