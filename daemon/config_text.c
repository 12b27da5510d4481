/* SPDX-License-Identifier: Apache-2.0 */
#include "config_text.h"

#include "observe/ops.h"
#include "util.h"

#include <arpa/inet.h>
#include <iicp/elect.h>
#include <iicp/endpoint.h>
#include <iicp/operator.h>
#include <iicp/receipt.h>
#include <iicp/time.h>
#include <iicp/urn.h>
#include <stdio.h>

#define BACKEND_NAME_MAX 32 /* characters; the INI library cuts sections at 50 */

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"

/* First character of one set, the rest of another. */
static bool made_of(const char *s, const char *first, const char *rest, const char *what, struct config_fault *f) {
        size_t good = *s && strchr(first, *s) ? 1 + strspn(s + 1, rest) : 0;

        if (*s && !s[good])
                return true;
        f->at = good;
        f->n = 1;
        snprintf(f->text, sizeof f->text, "'%c' is not allowed %sin %s", s[good] ? s[good] : ' ',
                 good ? "" : "at the start ", what);
        return false;
}

bool text_node_id(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        return made_of(s, LOWER UPPER DIGIT, LOWER UPPER DIGIT "._:-", "a node id (letters, digits, . _ : -)", f);
}

bool text_node_name(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        return made_of(s, LOWER DIGIT, LOWER DIGIT "._-", "a node name (small letters, digits, . _ -)", f);
}

bool text_region(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        return made_of(s, LOWER UPPER, LOWER UPPER DIGIT "_-", "a region (letters, digits, _ -)", f);
}

bool text_group(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        return made_of(s, LOWER UPPER "_", LOWER UPPER DIGIT "_.-", "a group name", f);
}

bool text_backend_name(const char *s) {
        struct config_fault f;

        return strlen(s) <= BACKEND_NAME_MAX && made_of(s, LOWER UPPER DIGIT, LOWER UPPER DIGIT "._-", "", &f);
}

static bool fault_all(struct config_fault *f, const char *s, const char *text, const char *hint) {
        f->at = 0;
        f->n = strlen(s);
        snprintf(f->text, sizeof f->text, "'%.80s' %s", s, text);
        snprintf(f->hint, sizeof f->hint, "%s", hint);
        return false;
}

/* Scheme first, because "htp://" deserves a better word than "malformed". */
static bool url_scheme(const char *s, const char *what, struct config_fault *f) {
        const char *end = strstr(s, "://");
        char scheme[16];

        if (!end)
                return fault_all(f, s, "is no URL", "it begins with http:// or https://");
        snprintf(scheme, sizeof scheme, "%.*s", (int) MIN(end - s, (ptrdiff_t) sizeof scheme - 1), s);
        if (!strcasecmp(scheme, "http") || !strcasecmp(scheme, "https"))
                return true;
        f->at = 0;
        f->n = (size_t) (end - s);
        snprintf(f->text, sizeof f->text, "'%s' is no scheme for %s", scheme, what);
        if (edit_distance(scheme, "https", 2) < edit_distance(scheme, "http", 2))
                snprintf(f->hint, sizeof f->hint, "did you mean 'https'?");
        else
                snprintf(f->hint, sizeof f->hint, "%s", edit_distance(scheme, "http", 2) <= 2 ? "did you mean 'http'?" : "http or https");
        return false;
}

static bool url_good(const char *s, const char *what, struct config_fault *f) {
        struct iicp_url url;

        if (!url_scheme(s, what, f))
                return false;
        if (iicp_url_parse(iicp_str(s), &url) < 0) {
                /* user info may be a password: not shown */
                if (strchr(s, '@')) {
                        f->n = strlen(s);
                        snprintf(f->text, sizeof f->text, "a URL for %s has no user or password", what);
                        return false;
                }
                return fault_all(f, s, "is malformed", "scheme://host[:port][/path], no user, query or fragment");
        }
        return true;
}

bool text_endpoint_url(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        return url_good(s, "an endpoint", f);
}

bool text_relay_worker(const char *s, struct config_fault *f, char **ret_instead) {
        char host[254];
        uint16_t port;
        struct iicp_url url;

        (void) ret_instead;
        if (strstr(s, "://") && strlen(s) <= 200 && iicp_url_parse(iicp_str(s), &url) == 0)
                return true;
        if (strcmp(s, "auto") == 0 || strcmp(s, "no") == 0 || iicp_relay_host_parse(iicp_str(s), host, &port) == 0)
                return true;
        return fault_all(f, s, "is no relay", "auto, no, or HOST[:PORT] (relay.example.net, [2001:db8::1]:9485), or the URL of its HTTP endpoint");
}

bool text_backend_url(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        return url_good(s, "a backend", f);
}

bool text_proxy_url(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        return url_good(s, "a proxy", f);
}

bool text_directory_url(const char *s, struct config_fault *f, char **ret_instead) {
        char out[IICP_DIRECTORY_URL_MAX];

        if (!url_scheme(s, "a directory", f))
                return false;
        /* whether http is allowed depends on another key: config_check.c */
        if (iicp_directory_url(iicp_str(s), true, out, NULL) != IICP_DIRECTORY_URL_OK) {
                if (strchr(s, '@')) {
                        f->n = strlen(s);
                        snprintf(f->text, sizeof f->text, "a URL for a directory has no user or password");
                        return false;
                }
                return fault_all(f, s, "is malformed", "scheme://host[:port][/path], no user, query or fragment");
        }
        *ret_instead = strdup(out);
        return *ret_instead != NULL;
}

bool text_origin(const char *s, struct config_fault *f, char **ret_instead) {
        char out[300];
        struct iicp_url url;

        if (!url_scheme(s, "an origin", f))
                return false;
        if (iicp_url_parse(iicp_str(s), &url) < 0 || *url.path || iicp_url_origin(&url, out, sizeof out) < 0)
                return fault_all(f, s, "is no origin", "scheme://host[:port], nothing behind it");
        *ret_instead = strdup(out);
        return *ret_instead != NULL;
}

bool text_address(const char *s, struct config_fault *f, char **ret_instead) {
        unsigned char a[sizeof(struct in6_addr)];

        (void) ret_instead;
        if (inet_pton(AF_INET, s, a) == 1 || inet_pton(AF_INET6, s, a) == 1)
                return true;
        return fault_all(f, s, "is no IPv4 or IPv6 address", *s == '[' ? "without brackets" : "names are not resolved");
}

bool text_map_protocol(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        if (strcmp(s, "igd") == 0 || strcmp(s, "pcp") == 0 || strcmp(s, "natpmp") == 0)
                return true;
        return fault_all(f, s, "is no protocol of routers", "igd, pcp or natpmp");
}

bool text_probe_url(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        if (!url_scheme(s, "a URL", f))
                return false;
        if (strstr(s, "{host}") && strstr(s, "{port}"))
                return true;
        return fault_all(f, s, "does not say what to probe", "like https://probe.example.net/?host={host}&port={port}");
}

bool text_echo_url(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        return strcmp(s, "off") == 0 || url_scheme(s, "a URL, or off", f);
}

bool text_tunnel_url(const char *s, struct config_fault *f, char **ret_instead) {
        struct iicp_url url;

        (void) ret_instead;
        if (iicp_url_parse(iicp_str(s), &url) == 0 && url.https &&
            iicp_endpoint_host_allowed(&url, IICP_ENDPOINT_REGISTER) == 0)
                return true;
        return fault_all(f, s, "is no public https URL", "like https://node.example.net");
}

bool text_listen(const char *s, struct config_fault *f, char **ret_instead) {
        struct sockaddr_storage address;
        socklen_t n;

        (void) ret_instead;
        if (ops_address_parse(s, &address, &n))
                return true;
        return fault_all(f, s, "is no address with a port", "like 127.0.0.1:9090 or [::1]:9090");
}

bool text_network(const char *s, struct config_fault *f, char **ret_instead) {
        char address[INET6_ADDRSTRLEN + 1];
        const char *slash = strchr(s, '/');
        unsigned char a[sizeof(struct in6_addr)];
        int bits;

        (void) ret_instead;
        snprintf(address, sizeof address, "%.*s", (int) MIN(slash ? (size_t) (slash - s) : strlen(s), sizeof address - 1), s);
        bits = inet_pton(AF_INET, address, a) == 1 ? 32 : inet_pton(AF_INET6, address, a) == 1 ? 128 : -1;
        if (bits < 0)
                return fault_all(f, s, "is no address or network", "like 192.0.2.7 or 2001:db8::/32");
        if (slash) {
                const char *p = slash + 1;
                size_t n = strlen(p);

                if (n < 1 || n > 3 || strspn(p, DIGIT) != n || atoi(p) > bits) {
                        f->at = (size_t) (p - s);
                        f->n = MAX(n, (size_t) 1);
                        snprintf(f->text, sizeof f->text, "'%.20s' is no prefix length (0-%d)", p, bits);
                        return false;
                }
        }
        return true;
}

bool text_path(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        if (*s == '/')
                return true;
        return fault_all(f, s, "is no absolute path", "it begins with /");
}

static bool no_control(const char *s, struct config_fault *f) {
        for (size_t i = 0; s[i]; i++)
                if ((unsigned char) s[i] < ' ' || s[i] == 0x7f) {
                        f->at = i;
                        f->n = 1;
                        snprintf(f->text, sizeof f->text, "a control character in a name");
                        return false;
                }
        return true;
}

bool text_model(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        return no_control(s, f);
}

bool text_pattern(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        if (strlen(s) > 255)
                return fault_all(f, s, "is too long (at most 255 characters)", "");
        return no_control(s, f);
}

bool text_urn(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        if (iicp_urn_check(iicp_str(s)) == IICP_URN_OK)
                return true;
        return fault_all(f, s, "is no intent", "like urn:iicp:intent:llm:chat:v1");
}

bool text_share(const char *s, struct config_fault *f, char **ret_instead) {
        size_t n = strspn(s, "0123456789");
        double v;

        (void) ret_instead;
        if (s[n] == '.')
                n += 1 + strspn(s + n + 1, "0123456789");
        v = n == strlen(s) && *s && *s != '.' ? strtod(s, NULL) : -1;
        if (v >= 0 && v <= 1)
                return true;
        return fault_all(f, s, "is no number from 0 to 1", "like 0.5");
}

bool text_key(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        if (strlen(s) == 64 && strspn(s, DIGIT "abcdefABCDEF") == 64)
                return true;
        return fault_all(f, s, "is no key", "64 hex digits");
}

bool text_multiplier(const char *s, struct config_fault *f, char **ret_instead) {
        unsigned m;

        (void) ret_instead;
        if (iicp_multiplier_parse(iicp_str(s), &m) == 0)
                return true;
        return fault_all(f, s, "is no price", "a number from 0 to 1000 with at most 4 decimals, like 1.5");
}

bool text_time(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        if (iicp_time_parse(s) >= 0)
                return true;
        return fault_all(f, s, "is no time", "like 2027-01-15T08:00:00Z");
}

bool text_display_name(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        if (iicp_display_name_valid(iicp_str(s)))
                return true;
        return fault_all(f, s, "is no name to show", "1 to 64 characters, no control characters");
}

bool text_web_url(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        for (const char *p = s; *p; p++)
                if (*p <= ' ' || *p > '~')
                        return fault_all(f, s, "is no URL", "visible ASCII only");
        return url_scheme(s, "a page", f);
}

bool text_refuse_yes(const char *s, struct config_fault *f, char **ret_instead) {
        (void) ret_instead;
        if (strcmp(s, "no") == 0)
                return true;
        return fault_all(f, s, "is refused: local discovery of directories is a draft", "only 'no'");
}
