/* SPDX-License-Identifier: Apache-2.0 */
#include "config_table.h"
#include "managed.h"
#include "policy.h"
#include "reach/ladder.h"
#include "tls.h"

#include "util.h"

#include <errno.h>
#include <iicp/endpoint.h>
#include <iicp/time.h>
#include <stdio.h>
#include <sys/stat.h>

/* Defaults that depend on other keys or on how we were started, and rules between keys. */

static void set_text(char **place, const char *text) {
        if (!*place && text)
                *place = strdup(text);
}

static void set_joined(char **place, const char *a, const char *b) {
        char *text;

        if (!*place && asprintf(&text, "%s%s", a, b) >= 0)
                *place = text;
}

static void derive_paths(struct config *c, char *const *env) {
        const char *state = environment_get(env, "STATE_DIRECTORY"), *run = environment_get(env, "RUNTIME_DIRECTORY");
        const char *home = environment_get(env, "HOME");
        bool user = geteuid() != 0 && home && *home == '/';
        char first[4096];

        if (state) {
                /* a list with colons when the unit names several */
                snprintf(first, sizeof first, "%.*s", (int) MIN(strcspn(state, ":"), sizeof first - 1), state);
                set_text(&c->state_dir, first);
        } else if (user) {
                set_joined(&c->state_dir, home, "/.iicp");
        }
        set_text(&c->state_dir, "/var/lib/iicp");
        if (run) {
                snprintf(first, sizeof first, "%.*s", (int) MIN(strcspn(run, ":"), sizeof first - 1), run);
                set_text(&c->runtime_dir, first);
        } else if (user) {
                snprintf(first, sizeof first, "%s/.iicp/run/", home);
                set_joined(&c->runtime_dir, first, c->node_name ? c->node_name : "iicpd");
        }
        set_text(&c->runtime_dir, "/run/iicpd");
        if (c->runtime_dir)
                set_joined(&c->control_socket, c->runtime_dir, "/control.sock");
}

static void derive_tunnel_files(struct config *c) {
        if (!c->state_dir)
                return;
        set_joined(&c->nat_tunnel_create_file, c->state_dir, "/state/quick_tunnel_create_gate.json");
        set_joined(&c->nat_tunnel_lock_file, c->state_dir, "/state/quick_tunnel_create.lock");
        set_joined(&c->nat_tunnel_cooldown_file, c->state_dir, "/state/quick_tunnel_rate_limit.json");
}

static const char *default_url(int type) {
        switch ((enum config_backend_type) type) {
        case BACKEND_VLLM: return "http://localhost:8000";
        case BACKEND_LLAMACPP: return "http://localhost:8080";
        case BACKEND_MESHLLM: return "http://localhost:9337";
        case BACKEND_ANTHROPIC: return "https://api.anthropic.com";
        case BACKEND_DEMO: return NULL;
        case BACKEND_OPENAI_COMPAT:
        case BACKEND_OLLAMA: break;
        }
        return "http://localhost:11434";
}

static void derive_backends(struct config *c) {
        const struct config_key *media = key_find("backend", "allow_remote_media");

        if (!c->n_backends) {
                struct config_backend *b = &c->backends[0];

                b->name = strdup("default");
                b->origins = calloc(config_n_keys, sizeof *b->origins);
                b->type = BACKEND_OPENAI_COMPAT;
                b->tls_min = 13;
                if (b->name && b->origins)
                        c->n_backends = 1;
        }
        for (size_t i = 0; i < c->n_backends; i++) {
                struct config_backend *b = &c->backends[i];

                set_text(&b->url, default_url(b->type));
                /* It fetches from its own network, not from the operator's. */
                if (b->type == BACKEND_ANTHROPIC && key_origin(media, c, b)->from == FROM_DEFAULT)
                        b->allow_remote_media = true;
        }
}

/* Secrets that the service manager passes need no key. */
static void derive_credentials(struct config *c, const struct config_source *source) {
        const char *dir = environment_get(source->environ_, "CREDENTIALS_DIRECTORY");
        char path[4200], ref[80];

        for (size_t i = 0; dir && source->resolve_secrets && i < config_n_keys; i++) {
                const struct config_key *k = &config_keys[i];
                struct secret *s;

                if (!k->credential || (key_of_backend(k) && c->n_backends != 1))
                        continue;
                s = key_place(k, c, &c->backends[0]);
                snprintf(path, sizeof path, "%s/%s", dir, k->credential);
                if (s->ref || access(path, F_OK) < 0)
                        continue;
                snprintf(ref, sizeof ref, "credential:%s", k->credential);
                s->ref = strdup(ref);
        }
}

void config_derive(struct config *c, const struct config_source *source) {
        derive_paths(c, source->environ_);
        derive_tunnel_files(c);
        derive_backends(c);
        derive_credentials(c, source);
        if (c->public_endpoint && key_origin(key_find("listen", "port_strict"), c, NULL)->from == FROM_DEFAULT)
                c->listen_port_strict = true;
        if (!c->directory_redirect_origins && c->directory_url && !strcmp(c->directory_url, IICP_DIRECTORY_DEFAULT)) {
                c->directory_redirect_origins = calloc(2, sizeof(char *));
                if (c->directory_redirect_origins)
                        c->directory_redirect_origins[0] = strdup("https://iicp.network");
        }
}

/* Where a key was set, for a problem that several keys make. */
static struct problem_place place_of(const struct config *c, const struct config_backend *b, const char *section,
                                     const char *name) {
        const struct config_key *k = key_find(section, name);
        const struct config_origin *o = (key_of_backend(k) ? b->origins : c->origins) + (k - config_keys);

        switch (o->from) {
        case FROM_FILE:
                return (struct problem_place){.where = o->name, .rank = 1, .line = o->line};
        case FROM_ENVIRONMENT:
                return (struct problem_place){.where = "environment", .rank = 3};
        case FROM_OPTION:
                return (struct problem_place){.where = "-o", .rank = 4};
        case FROM_DEFAULT:
                break;
        }
        return (struct problem_place){.where = "configuration", .rank = 5};
}

static bool directory_is_loopback(const struct config *c) {
        struct iicp_url url;

        return c->directory_url && iicp_url_parse(iicp_str(c->directory_url), &url) == 0 && iicp_host_is_loopback(url.host);
}

static void check_directory(const struct config *c, struct config_problems *p) {
        char out[IICP_DIRECTORY_URL_MAX];
        struct problem_place place = place_of(c, NULL, "directory", "url");

        if (c->directory_url &&
            iicp_directory_url(iicp_str(c->directory_url), c->directory_allow_http, out, NULL) == IICP_DIRECTORY_URL_PLAIN)
                problem_add(p, CONFIG_ERROR, &place,
                            "directory.url is plain http to another host; use https, or directory.allow_http = yes in a lab");
}

static void check_region(const struct config *c, struct config_problems *p) {
        static const char *const usual[] = {
                "eu-central", "eu-west", "eu-north", "eu-south", "eu-east", "us-east", "us-west", "us-central",
                "ca-central", "sa-east", "ap-south", "ap-southeast", "ap-northeast", "ap-east", "me-central", "af-south",
        };
        struct problem_place place = place_of(c, NULL, "node", "region");

        for (size_t i = 0; c->region && i < ARRAY_SIZE(usual); i++)
                if (strcmp(c->region, usual[i]) == 0)
                        return;
        for (size_t i = 0; c->region && i < ARRAY_SIZE(usual); i++)
                if (edit_distance(c->region, usual[i], 2) <= 2) {
                        problem_add(p, CONFIG_WARNING, &place, "region '%s' is new to us; usual: %s. Kept as written",
                                    c->region, usual[i]);
                        return;
                }
}

static void check_endpoint(const struct config *c, struct config_problems *p) {
        struct problem_place place = place_of(c, NULL, "node", "public_endpoint");
        struct iicp_url url;

        if (c->public_endpoint && !c->allow_private && iicp_url_parse(iicp_str(c->public_endpoint), &url) == 0 &&
            iicp_endpoint_host_allowed(&url, IICP_ENDPOINT_REGISTER) < 0)
                problem_add(p, CONFIG_WARNING, &place,
                            "node.public_endpoint is no public address: it will not be registered; nat.allow_private = yes for a private directory");
}

/* A managed machine opens nothing that nobody has approved. What needs no key is always so: the directory knows
 * us by our token, nobody else reads the state, and iicpd never updates itself. [04 section 12, 05 section 17] */
static void check_managed(const struct config *c, struct config_problems *p) {
        struct problem_place mapping = place_of(c, NULL, "operator", "approve_mapping");
        struct problem_place tunnel = place_of(c, NULL, "operator", "approve_tunnel");
        struct managed_facts f = {
                .mode = c->operator_managed ? "managed" : "convenience",
                .authentication = true, .protected_identity = true,
                .upnp = c->nat_auto && c->nat_map, .upnp_approved = c->operator_approve_mapping,
                .tunnel = c->nat_tunnel != TUNNEL_OFF || c->nat_tunnel_url, .tunnel_approved = c->operator_approve_tunnel,
        };
        const char *reason;

        if (managed_accepts(&f, &reason))
                return;
        if (strcmp(reason, "upnp_approval_required") == 0)
                problem_add(p, CONFIG_ERROR, &mapping,
                            "a managed node opens no ports at routers without operator.approve_mapping = yes "
                            "(IICP_MANAGED_UPNP_APPROVED=1); set it, or nat.map = no");
        else
                problem_add(p, CONFIG_ERROR, &tunnel,
                            "a managed node uses no tunnel without operator.approve_tunnel = yes "
                            "(IICP_MANAGED_TUNNEL_APPROVED=1); set it, or remove nat.tunnel and nat.tunnel_url");
}

static void check_admission(const struct config *c, struct config_problems *p) {
        struct problem_place place = place_of(c, NULL, "tasks", "dispatch_admission");

        if (c->dispatch_admission)
                problem_add(p, CONFIG_ERROR, &place,
                            "tasks.dispatch_admission = yes would refuse every task: the protocol has no place for such a "
                            "ticket yet; remove the line, or use auth.mode = required to admit known callers only");
}

static void check_backends(const struct config *c, struct config_problems *p) {
        for (size_t i = 0; i < c->n_backends; i++) {
                const struct config_backend *b = &c->backends[i];

                if (b->type == BACKEND_DEMO && c->directory_register && !directory_is_loopback(c)) {
                        struct problem_place place = place_of(c, b, "backend", "type");

                        problem_add(p, CONFIG_WARNING, &place,
                                    "backend '%s' is a demo: it registers only at a directory on loopback", b->name);
                }
                if (b->experimental && b->type != BACKEND_MESHLLM) {
                        struct problem_place place = place_of(c, b, "backend", "experimental");

                        problem_add(p, CONFIG_WARNING, &place,
                                    "backend '%s' is no meshllm: experimental has no effect", b->name);
                }
                if (b->type == BACKEND_DEMO && b->url) {
                        struct problem_place place = place_of(c, b, "backend", "url");

                        problem_add(p, CONFIG_WARNING, &place, "backend '%s' is a demo: its url has no effect", b->name);
                }
        }
}

/* What would be registered must be what would be served. */
static void check_policy(const struct config *c, struct config_problems *p) {
        const char *key = NULL, *dot;
        struct policy *policy = NULL;
        char why[320] = "", section[16];
        struct problem_place place;

        if (!c->intent_default || policy_new(c, &policy, &key, why, sizeof why) == 0 || !key) {
                policy_free(policy);
                return;
        }
        dot = strchr(key, '.');
        snprintf(section, sizeof section, "%.*s", (int) (dot - key), key);
        place = place_of(c, NULL, section, dot + 1);
        problem_add(p, CONFIG_ERROR, &place, "%s: %s", key, why);
}

static void check_pricing(const struct config *c, struct config_problems *p) {
        struct problem_place place = place_of(c, NULL, "credits", "until");

        if (c->credits_from && c->credits_until &&
            iicp_time_parse(c->credits_until) <= iicp_time_parse(c->credits_from))
                problem_add(p, CONFIG_ERROR, &place, "credits.until must be later than credits.from");
        if (!c->credits_multiplier && (c->credits_from || c->credits_until || c->credits_sign))
                problem_add(p, CONFIG_WARNING, &place, "credits.multiplier is not set: no price is declared");
}

static void check_tls(const struct config *c, struct config_problems *p) {
        struct problem_place cert = place_of(c, NULL, "listen", "tls_cert"), key = place_of(c, NULL, "listen", "tls_key");

        if (c->tls_cert.ref && !c->tls_key.ref)
                problem_add(p, CONFIG_ERROR, &cert, "listen.tls_cert needs listen.tls_key");
        if (c->tls_key.ref && !c->tls_cert.ref)
                problem_add(p, CONFIG_ERROR, &key, "listen.tls_key needs listen.tls_cert");
}

/* Where secrets are not read (--check-config), the two files are, if they are ours: the check may run as
 * another user than the daemon, and a credential is there only under the service manager. */
static bool ours_to_read(const struct secret *s) {
        struct stat st;

        if (strncmp(s->ref, "file:", 5) != 0)
                return false;
        return stat(s->ref + 5, &st) < 0 ? errno == ENOENT : st.st_uid == geteuid();
}

static bool read_for_check(const struct secret *s, const struct config_source *source, struct secret *ret, char *why,
                           size_t cap) {
        ret->ref = strdup(s->ref);
        return ret->ref && secret_resolve(ret, source->environ_, why, cap);
}

/* A token with a blank in it fits in no header: nobody could use it. */
static void check_callers(const struct config *c, struct config_problems *p) {
        struct problem_place place = place_of(c, NULL, "auth", "caller_tokens");
        const char *line = c->caller_tokens.value; /* NULL: --check-config does not read it */

        for (unsigned n = 1; line && *line; n++) {
                size_t len = strcspn(line, "\r\n");
                size_t blank = strcspn(line, " \t");

                if (blank < len)
                        problem_add(p, CONFIG_ERROR, &place,
                                    "auth.caller_tokens: line %u has a blank in it; a line is [name:]token", n);
                line += len;
                line += strspn(line, "\r\n");
        }
}

static void check_certificate(const struct config *c, const struct config_source *source, struct config_problems *p) {
        struct config both = {.tls_cert = c->tls_cert, .tls_key = c->tls_key};
        struct problem_place cert = place_of(c, NULL, "listen", "tls_cert"), key = place_of(c, NULL, "listen", "tls_key");
        struct secret own_cert = {0}, own_key = {0};
        struct tls *tls = NULL;
        char why[512] = "";
        bool read = true;

        if (source->consumer || !c->tls_cert.ref || !c->tls_key.ref)
                return;
        if (!source->resolve_secrets) {
                if (!ours_to_read(&c->tls_cert) || !ours_to_read(&c->tls_key))
                        return;
                if (!read_for_check(&c->tls_cert, source, &own_cert, why, sizeof why)) {
                        problem_add(p, CONFIG_ERROR, &cert, "listen.tls_cert: %s", why);
                        read = false;
                }
                if (!read_for_check(&c->tls_key, source, &own_key, why, sizeof why)) {
                        problem_add(p, CONFIG_ERROR, &key, "listen.tls_key: %s", why);
                        read = false;
                }
                both.tls_cert = own_cert;
                both.tls_key = own_key;
        }
        if (read && tls_wanted(&both) && tls_new(&both, &tls, why, sizeof why) < 0)
                problem_add(p, CONFIG_ERROR, strncmp(why, "listen.tls_key", 14) == 0 ? &key : &cert, "%s",
                            *why ? why : "listen.tls_cert: no memory");
        tls_free(tls);
        secret_clear(&own_cert);
        secret_clear(&own_key);
}

void config_check(const struct config *c, const struct config_source *source, struct config_problems *p) {
        check_directory(c, p);
        if (source->consumer)
                return;
        check_region(c, p);
        check_endpoint(c, p);
        check_managed(c, p);
        check_admission(c, p);
        check_policy(c, p);
        check_backends(c, p);
        check_tls(c, p);
        check_pricing(c, p);
        if (c->cx_require && !c->cx_enabled) {
                struct problem_place place = place_of(c, NULL, "encryption", "require");

                problem_add(p, CONFIG_ERROR, &place, "encryption.require = yes needs encryption.enabled = yes");
        }
}

/* The whole is refused when one of these is: at the start, by a reload and, if it may read them, by
 * --check-config. */
void config_check_secrets(const struct config *c, const struct config_source *source, struct config_problems *p) {
        if (source->consumer)
                return;
        check_callers(c, p);
        check_certificate(c, source, p);
}
