/* SPDX-License-Identifier: Apache-2.0 */
#include "vouch_internal.h"

#include "log.h"
#include "state_file.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <iicp/receipt.h>
#include <iicp/time.h>
#include <stdio.h>
#include <sys/stat.h>

static int64_t now_s(const struct vouch *v) {
        return clock_wall_s(v->node->clock);
}

static const char *node_id(const struct vouch *v) {
        return state_identity(v->node->state)->node_id;
}

static void changed(struct vouch *v) {
        if (v->node->directory)
                directory_poke(v->node->directory);
}

/* ---- delegation ---- */

static void delegation_fault(struct vouch *v, const char *text) {
        v->delegated = false;
        if (strcmp(v->delegation_why, text) == 0)
                return;
        snprintf(v->delegation_why, sizeof v->delegation_why, "%s", text);
        log_warn("delegation_left_out", "the operator's delegation is not shown to the directory: %s", text);
}

static const char *meaning(enum iicp_delegation_fault fault) {
        switch (fault) {
        case IICP_DELEGATION_NODE:
                return "it is for another node";
        case IICP_DELEGATION_EXPIRED:
                return "it has ended; iicpctl operator delegate makes a new one";
        case IICP_DELEGATION_SIGNATURE:
                return "its signature is wrong";
        default:
                return "it is no delegation";
        }
}

static void take_delegation(struct vouch *v, struct iicp_str text) {
        enum iicp_delegation_fault fault = IICP_DELEGATION_MALFORMED;
        struct iicp_delegation d;
        struct iicp_json object;

        if (iicp_json_scan(text, NULL, NULL, &object) == 0)
                fault = iicp_delegation_read(&object, &d);
        if (fault == IICP_DELEGATION_OK)
                fault = iicp_delegation_check(&d, node_id(v), now_s(v));
        if (fault != IICP_DELEGATION_OK) {
                delegation_fault(v, meaning(fault));
                return;
        }
        v->delegation = d;
        v->delegated = true;
        v->delegation_why[0] = '\0';
}

/* Which file it is: another one has another number or time. 0 = none. */
static uint64_t file_mark(const struct vouch *v) {
        struct stat st;

        if (fstatat(state_dir_fd(v->node->state), DELEGATION_FILE, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        return (uint64_t) st.st_ino * 31 + (uint64_t) st.st_mtim.tv_sec * 1000003 + (uint64_t) st.st_mtim.tv_nsec + 1;
}

/* What was handed over, else the file in the state directory. */
static void read_delegation(struct vouch *v) {
        const struct secret *given = &v->node->config->operator_delegation;
        _cleanup_(iicp_buf_free) struct iicp_buf bytes = {0};
        char why[256] = "";
        int r;

        v->delegated = false;
        if (given->value) {
                take_delegation(v, (struct iicp_str){given->value, given->n});
                return;
        }
        v->file_seen = file_mark(v);
        r = state_file_read(state_dir_fd(v->node->state), DELEGATION_FILE, &bytes, why, sizeof why);
        if (r == -ENOENT)
                v->delegation_why[0] = '\0';
        else if (r < 0)
                delegation_fault(v, *why ? why : strerror(-r));
        else
                take_delegation(v, iicp_buf_str(&bytes));
}

static bool delegation_good(const struct vouch *v) {
        return v->delegated && v->delegation.not_after > now_s(v) + IICP_DELEGATION_LEFT_S &&
               strcmp(v->delegation.node_id, node_id(v)) == 0;
}

/* Once a day while its end is near. */
static void warn_of_end(struct vouch *v) {
        int64_t left = v->delegation.not_after - now_s(v), day = now_s(v) / 86400;

        if (v->own || !v->delegated || left >= VOUCH_SOON_S || v->warned_day == day)
                return;
        v->warned_day = day;
        if (left > IICP_DELEGATION_LEFT_S)
                log_warn("delegation_expiring", "the operator's delegation ends in %lld %s; iicpctl operator delegate",
                         (long long) (left >= 2 * 86400 ? left / 86400 : left / 3600), left >= 2 * 86400 ? "days" : "hours");
        else
                delegation_fault(v, meaning(IICP_DELEGATION_EXPIRED));
}

/* ---- the seed, where we have it ---- */

static void job_start(struct vouch *v);

static void job_done(void *arg) {
        struct vouch_job *j = arg;
        struct vouch *v = j->v;

        v->job = NULL;
        v->signed_ms = clock_mono_ms(v->node->clock);
        if (strcmp(v->identity_why, j->why) != 0) {
                snprintf(v->identity_why, sizeof v->identity_why, "%s", j->why);
                if (j->why[0])
                        log_warn("operator_left_out", "the operator is not declared: %s", j->why);
        }
        v->known = j->known;
        v->who = j->who;
        v->delegated = j->delegation.sig[0] != '\0';
        v->delegation = j->delegation;
        vouch_manifest_take(v, &j->signed_);
        vouch_job_free(j);
        if (v->job_again)
                job_start(v);
        else
                changed(v);
}

static bool copy_ref(const struct secret *from, struct secret *to) {
        return !from->ref || (to->ref = strdup(from->ref));
}

/* A manifest that is unsigned, or whose signature ends within 30 days. */
static bool wants_signature(const struct vouch *v) {
        return v->manifest_plain.n > 0 && v->manifest_expires - now_s(v) < IICP_MANIFEST_RENEW_S;
}

static void job_start(struct vouch *v) {
        const struct config *c = v->node->config;
        struct vouch_job *j;

        v->job_again = v->job != NULL;
        if (v->job || !c->operator_identity.ref)
                return;
        j = calloc(1, sizeof *j);
        if (!j)
                return;
        *j = (struct vouch_job){.v = v, .environ_ = v->node->config_source.environ_, .now_s = now_s(v)};
        snprintf(j->node_id, sizeof j->node_id, "%s", node_id(v));
        if (wants_signature(v))
                iicp_buf_add_str(&j->manifest, iicp_buf_str(&v->manifest_plain));
        v->job = j;
        if (copy_ref(&c->operator_identity, &j->identity) && copy_ref(&c->operator_passphrase, &j->passphrase) &&
            loop_block(v->node->loop, vouch_job_work, job_done, j) == 0)
                return;
        v->job = vouch_job_free(j);
}

/* ---- price ---- */

static const char *pricing_model(const struct config *c) {
        static const char *const words[] = {
                [PRICING_PER_TOKEN] = "per_token", [PRICING_PER_REQUEST] = "per_request", [PRICING_FLAT] = "flat",
        };

        return words[c->credits_model];
}

static void read_price(struct vouch *v) {
        const struct config *c = v->node->config;

        v->multiplier = IICP_CREDIT;
        v->priced = c->credits_multiplier && iicp_multiplier_parse(iicp_str(c->credits_multiplier), &v->multiplier) == 0;
}

static void put_price(const struct vouch *v, struct iicp_buf *out) {
        const struct config *c = v->node->config;

        iicp_pricing_text(v->multiplier, pricing_model(c), out);
        if (out->error)
                return;
        out->p[--out->n] = '\0'; /* the brace */
        if (c->credits_from) {
                iicp_buf_puts(out, ",\"effective_from\":");
                iicp_buf_json_str(out, iicp_str(c->credits_from));
        }
        if (c->credits_until) {
                iicp_buf_puts(out, ",\"effective_until\":");
                iicp_buf_json_str(out, iicp_str(c->credits_until));
        }
        iicp_buf_puts(out, "}");
}

bool vouch_signed_price(const struct vouch *v, struct iicp_buf *out) {
        const struct identity *id;
        char signature[65];

        if (!v || !v->price_due || !v->priced || !v->node->config->credits_sign)
                return false;
        id = state_identity(v->node->state);
        if (!id->node_hmac_key[0] || iicp_pricing_sign(iicp_str(id->node_hmac_key), v->multiplier,
                                                       pricing_model(v->node->config), signature) < 0)
                return false;
        iicp_pricing_text(v->multiplier, pricing_model(v->node->config), out);
        if (out->error)
                return false;
        out->p[--out->n] = '\0';
        iicp_buf_printf(out, ",\"declaration_signature\":\"%s\"}", signature);
        return out->error == 0;
}

void vouch_price_delivered(struct vouch *v) {
        if (v)
                v->price_due = false;
}

void vouch_price_refused(struct vouch *v) {
        if (!v || !v->price_due)
                return;
        v->price_due = false;
        log_warn("pricing_refused", "the directory takes the signature of our price for wrong (IICP-E010): the price is "
                 "left out of heartbeats until the next registration");
}

unsigned vouch_multiplier(const struct vouch *v) {
        const struct config *c;
        const char *const *models;
        int64_t now;
        size_t n;

        if (!v || !v->priced)
                return IICP_CREDIT;
        c = v->node->config;
        now = now_s(v);
        if ((c->credits_from && now < iicp_time_parse(c->credits_from)) ||
            (c->credits_until && now >= iicp_time_parse(c->credits_until)))
                return IICP_CREDIT;
        models = directory_registered_models(v->node->directory, &n);
        return iicp_multiplier_effective(v->multiplier, models, n);
}

/* ---- members ---- */

static void text_member(struct iicp_buf *out, const char *name, const char *value) {
        if (!value || !*value)
                return;
        iicp_buf_printf(out, ",\"%s\":", name);
        iicp_buf_json_str(out, iicp_str(value));
}

static const char *display_name(const struct vouch *v) {
        const char *name = v->node->config->operator_display_name;

        if (!name && v->known && iicp_display_name_valid(iicp_str(v->who.display_name)))
                name = v->who.display_name;
        return name;
}

static void listing(const struct vouch *v, struct iicp_buf *out) {
        const struct config *c = v->node->config;

        if (!c->public_listing && !c->operator_url)
                return;
        iicp_buf_printf(out, ",\"listing\":{\"public_listing\":%s", c->public_listing ? "true" : "false");
        text_member(out, "operator_url", c->operator_url);
        iicp_buf_puts(out, "}");
}

static void price(const struct vouch *v, struct iicp_buf *out) {
        _cleanup_(iicp_buf_free) struct iicp_buf block = {0};

        if (!v->priced)
                return;
        put_price(v, &block);
        iicp_buf_puts(out, ",\"pricing\":");
        iicp_buf_add_str(out, iicp_buf_str(&block));
}

static unsigned put_operator(const struct vouch *v, unsigned omit, struct iicp_buf *out) {
        const char *name = omit & PART_OPERATOR_NAME ? NULL : display_name(v);

        iicp_buf_puts(out, ",\"operator_delegation\":");
        iicp_delegation_json(&v->delegation, out);
        text_member(out, "operator_display_name", name);
        text_member(out, "operator_created_at", v->who.created_at);
        text_member(out, "operator_integrity_hash", v->who.integrity_hash);
        return name ? PART_OPERATOR | PART_OPERATOR_NAME : PART_OPERATOR;
}

unsigned vouch_register_members(struct vouch *v, unsigned omit, struct iicp_buf *out) {
        unsigned parts = 0;
        size_t before;

        if (!v)
                return 0;
        if (!(omit & PART_OPERATOR)) {
                if (delegation_good(v))
                        parts |= put_operator(v, omit, out);
                before = out->n;
                if (vouch_manifest_good(v, now_s(v))) {
                        iicp_buf_puts(out, ",\"policy_manifest\":");
                        iicp_buf_add_str(out, iicp_buf_str(&v->manifest));
                }
                listing(v, out);
                if (out->n > before)
                        parts |= PART_OPERATOR;
        }
        if (v->priced && !(omit & PART_PRICING)) {
                price(v, out);
                parts |= PART_PRICING;
        }
        return parts;
}

void vouch_declared(const struct vouch *v, unsigned omit, struct iicp_buf *out) {
        if (!v)
                return;
        if (!(omit & PART_OPERATOR)) {
                if (v->delegated) {
                        text_member(out, "operator_pub", v->delegation.operator_pub);
                        text_member(out, "operator_display_name", omit & PART_OPERATOR_NAME ? NULL : display_name(v));
                        if (!v->own)
                                text_member(out, "sig", v->delegation.sig);
                }
                iicp_buf_add_str(out, iicp_buf_str(&v->manifest_plain));
                listing(v, out);
        }
        if (!(omit & PART_PRICING))
                price(v, out);
}

void vouch_registered(struct vouch *v) {
        if (!v)
                return;
        v->price_due = v->priced && v->node->config->credits_sign;
        job_start(v);
}

/* ---- life ---- */

static void look(void *arg) {
        struct vouch *v = arg;
        const struct config *c = v->node->config;

        timer_set_ms(&v->look, VOUCH_LOOK_MS);
        if (v->own) {
                if (clock_mono_ms(v->node->clock) - v->signed_ms >= VOUCH_RENEW_MS)
                        job_start(v);
                return;
        }
        if (!c->operator_delegation.value && file_mark(v) != v->file_seen) {
                read_delegation(v);
                changed(v);
        }
        warn_of_end(v);
}

static void read_all(struct vouch *v) {
        struct config *c = v->node->config;

        v->own = c->operator_identity.ref != NULL;
        v->known = false;
        iicp_operator_wipe(&v->who);
        v->identity_why[0] = '\0';
        read_price(v);
        vouch_manifest_read(v);
        if (v->own) {
                /* The job reads them again; until then they lie nowhere but in their files. */
                if (c->operator_identity.value)
                        iicp_wipe(c->operator_identity.value, c->operator_identity.n);
                if (c->operator_passphrase.value)
                        iicp_wipe(c->operator_passphrase.value, c->operator_passphrase.n);
                v->delegated = false;
                v->delegation_why[0] = '\0';
                job_start(v);
                return;
        }
        v->warned_day = 0;
        read_delegation(v);
        warn_of_end(v);
}

void vouch_start(struct vouch *v) {
        read_all(v);
        timer_set_ms(&v->look, VOUCH_LOOK_MS);
}

void vouch_reload(struct vouch *v) {
        read_all(v);
}

bool vouch_ready(const struct vouch *v) {
        return !v || !v->job;
}

static void gauges(void *arg, struct iicp_buf *out) {
        const struct vouch *v = arg;

        if (v->delegated)
                iicp_buf_printf(out,
                                "# HELP iicp_delegation_expiry_timestamp_seconds End of the operator's delegation.\n"
                                "# TYPE iicp_delegation_expiry_timestamp_seconds gauge\n"
                                "iicp_delegation_expiry_timestamp_seconds %lld\n",
                                (long long) v->delegation.not_after);
}

struct vouch *vouch_new(struct node *node) {
        struct vouch *v = calloc(1, sizeof *v);

        if (!v)
                return NULL;
        v->node = node;
        v->multiplier = IICP_CREDIT;
        timer_init(&v->look, node->loop, look, v);
        if (metrics_add_gauges(node->metrics, gauges, v) < 0)
                return vouch_free(v);
        return v;
}

/* A job that runs ends before: the loop settles first. */
struct vouch *vouch_free(struct vouch *v) {
        if (!v)
                return NULL;
        timer_clear(&v->look);
        iicp_buf_free(&v->manifest);
        iicp_buf_free(&v->manifest_plain);
        free(v);
        return NULL;
}

const char *vouch_degraded(const struct vouch *v) {
        const char *const why[] = {v ? v->identity_why : "", v ? v->delegation_why : "", v ? v->manifest_why : ""};

        for (size_t i = 0; i < ARRAY_SIZE(why); i++)
                if (why[i][0])
                        return why[i];
        return NULL;
}

void vouch_json(const struct vouch *v, struct iicp_buf *out) {
        char when[IICP_TIME_TEXT], text[IICP_CREDIT_TEXT];
        const char *comma = "";

        iicp_buf_puts(out, "{");
        if (v && v->delegated) {
                iicp_time_text(v->delegation.not_after, when);
                iicp_buf_printf(out, "\"operator_pub\":\"%s\",\"delegated_until\":\"%s\"", v->delegation.operator_pub, when);
                text_member(out, "display_name", display_name(v));
                comma = ",";
        }
        if (v && v->manifest.n > 0) {
                iicp_time_text(v->manifest_expires, when);
                iicp_buf_printf(out, "%s\"manifest\":\"%s\"", comma, v->manifest_expires ? when : "self_attested");
                comma = ",";
        }
        if (v && v->priced) {
                iicp_credit_text(v->multiplier, text);
                iicp_buf_printf(out, "%s\"multiplier\":%s,\"pricing_model\":\"%s\"", comma, text,
                                pricing_model(v->node->config));
                comma = ",";
        }
        if (vouch_degraded(v)) {
                iicp_buf_printf(out, "%s\"problem\":", comma);
                iicp_buf_json_str(out, iicp_str(vouch_degraded(v)));
        }
        iicp_buf_puts(out, "}");
}
