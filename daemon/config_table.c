/* SPDX-License-Identifier: Apache-2.0 */
#include "config_table.h"

#include "config_text.h"
#include "log.h"
#include "util.h"

#include <stddef.h>

/* The one list of keys. Everything about a key stands in its row; a key without a row does not
 * exist. Sections in the order in which people need them. [configuration.md] */

#define AT(member) .offset = offsetof(struct config, member)
#define AT_BACKEND(member) .offset = offsetof(struct config_backend, member)
#define ENV(...) .environment = {__VA_ARGS__}

static const struct config_choice notify_words[] = {{"no", 0}, {"auto", 1}, {0}};
static const struct config_choice type_words[] = {
        {"openai_compat", BACKEND_OPENAI_COMPAT}, {"ollama", BACKEND_OLLAMA}, {"vllm", BACKEND_VLLM},
        {"llamacpp", BACKEND_LLAMACPP}, {"demo", BACKEND_DEMO}, {"meshllm", BACKEND_MESHLLM},
        {"anthropic", BACKEND_ANTHROPIC}, {0}};
static const struct config_choice tls_words[] = {{"1.2", 12}, {"1.3", 13}, {0}};
static const struct config_choice pricing_words[] = {
        {"per_token", PRICING_PER_TOKEN}, {"per_request", PRICING_PER_REQUEST}, {"flat", PRICING_FLAT}, {0}};
static const struct config_choice native_words[] = {
        {"auto", NATIVE_TLS_ONLY}, {"plaintext", NATIVE_PLAINTEXT}, {"no", NATIVE_OFF}, {0}};
static const struct config_choice auth_words[] = {{"open", AUTH_OPEN}, {"required", AUTH_REQUIRED}, {0}};
static const struct config_choice supervised_words[] = {
        {"auto", SUPERVISED_AUTO}, {"yes", SUPERVISED_YES}, {"no", SUPERVISED_NO}, {0}};
static const struct config_choice ticket_words[] = {
        {"off", TICKETS_OFF}, {"soft", TICKETS_SOFT}, {"required", TICKETS_REQUIRED}, {0}};
static const struct config_choice level_words[] = {
        {"debug", LOG_L_DEBUG}, {"info", LOG_L_INFO}, {"notice", LOG_L_NOTICE}, {"warn", LOG_L_WARN},
        {"err", LOG_L_ERR}, {0}};
static const struct config_choice format_words[] = {
        {"auto", LOG_F_AUTO}, {"text", LOG_F_TEXT}, {"journal", LOG_F_JOURNAL}, {"json", LOG_F_JSON}, {0}};

const struct config_section config_sections[] = {
        {"node", "who and where this node is", false, true},
        {"backend", "one section [backend NAME] for each inference server, in order of preference; without any there is one called default", false, true},
        {"limits", "how much", false, true},
        {"availability", "when", false, true},
        {"directory", "the control plane; node and client", true, true},
        {"listen", "the task port", false, true},
        {"auth", "who may", false, true},
        {"tasks", "how tasks are taken", false, true},
        {"intents", "what is offered", false, true},
        {"policy", "what this node refuses", false, true},
        {"credits", "price and receipts", false, true},
        {"operator", "who runs it", false, true},
        {"encryption", "task encryption", false, true},
        {"cip", "cooperative inference: work for coordinators", false, true},
        {"nat", "how a route is found", false, true},
        {"network", "outbound", true, true},
        {"metrics", "numbers for monitoring", false, true},
        {"trace", "spans of tasks", false, true},
        {"log", "what is written where", true, true},
        {"control", "the control socket", false, true},
        {"consumer", "iicp and libiicp", true, true},
        {"relay", "reached through one, being one", false, true},
        {"mesh", "nodes that tell each other who is there", false, true},
        {"recovery", "when route or directory is lost", false, true},
        {"gateway", "", true, false},
};
const size_t config_n_sections = ARRAY_SIZE(config_sections);

const struct config_key config_keys[] = {
        /* node */
        {"node", "region", KIND_TEXT, AT(region), .max = 64, .check = text_region, .initial = "unknown",
         ENV("IICP_REGION"), .live = LIVE_REGISTERS, .type = "text",
         .help = "Region, like eu-central; consumers choose by it. The one key that is advised."},
        {"node", "public_endpoint", KIND_TEXT, AT(public_endpoint), .max = 255, .check = text_endpoint_url,
         .initial_text = "none", ENV("IICP_PUBLIC_ENDPOINT"), .live = LIVE_REGISTERS, .type = "URL",
         .help = "Address that others dial; ends the detection of a route."},
        {"node", "name", KIND_TEXT, AT(node_name), .max = 63, .check = text_node_name, .initial = "iicpd",
         ENV("IICP_NODE_NAME", "IICP_NODE"), .live = LIVE_NO, .type = "text",
         .help = "Name of this instance in status, log and paths; local only."},
        {"node", "id", KIND_TEXT, AT(node_id), .max = 36, .check = text_node_id,
         .initial_text = "made at the first start and kept", ENV("IICP_NODE_ID"), .live = LIVE_NO, .type = "text",
         .help = "Id at the directory. A name is allowed, and public."},
        {"node", "deregister_on_stop", KIND_BOOL, AT(deregister_on_stop), .initial = "no", .live = LIVE_YES,
         .help = "Leave the directory at every stop; the reputation is gone then."},
        {"node", "public_listing", KIND_BOOL, AT(public_listing), .initial = "no", .live = LIVE_REGISTERS,
         .help = "Public lists may show operator.url."},
        {"node", "identity_auto_reset", KIND_BOOL, AT(identity_auto_reset), .initial = "no", .live = LIVE_YES,
         .help = "Give up an identity that the directory does not take for ours, unasked; the reputation is gone then."},
        {"node", "state_dir", KIND_TEXT, AT(state_dir), .max = 4000, .check = text_path,
         .initial_text = "$STATE_DIRECTORY, else /var/lib/iicp; run by a user ~/.iicp", ENV("IICP_HOME"),
         .live = LIVE_NO, .type = "path", .help = "Identity and keys; locked while running."},
        {"node", "state_key", KIND_SECRET, AT(state_key),
         .initial_text = "credential state-key, if passed, else none", .credential = "state-key", .live = LIVE_NO,
         .type = "secret",
         .help = "32 bytes in hex or base64: identity and encryption keys are sealed on the disk with it."},
        {"node", "runtime_dir", KIND_TEXT, AT(runtime_dir), .max = 4000, .check = text_path,
         .initial_text = "$RUNTIME_DIRECTORY, else /run/iicpd; run by a user ~/.iicp/run/NAME",
         .live = LIVE_NO, .type = "path", .help = "Control socket."},
        {"node", "systemd_notify", KIND_CHOICE, AT(systemd_notify), .choices = notify_words, .initial = "auto",
         ENV("IICP_SYSTEMD_NOTIFY"), .environment_form = ENV_SWITCH, .live = LIVE_NO,
         .help = "Readiness and watchdog messages; auto: when NOTIFY_SOCKET is set."},
        /* backend */
        {"backend", "type", KIND_CHOICE, AT_BACKEND(type), .choices = type_words, .initial = "openai_compat",
         ENV("IICP_BACKEND_TYPE"), .live = LIVE_REGISTERS,
         .help = "What the server speaks. demo answers fixed text without a server and registers only at a directory on loopback."},
        {"backend", "url", KIND_TEXT, AT_BACKEND(url), .max = 255, .check = text_backend_url,
         .initial_text = "of the type: http://localhost:11434, vllm 8000, llamacpp 8080, meshllm 9337, anthropic https://api.anthropic.com", ENV("IICP_BACKEND_URL"),
         .live = LIVE_REGISTERS, .type = "URL", .help = "Where the server is, with or without /v1 at the end."},
        {"backend", "model", KIND_TEXT, AT_BACKEND(model), .max = 255, .check = text_model,
         .initial_text = "first of the server's list", ENV("IICP_BACKEND_MODEL"), .live = LIVE_REGISTERS, .type = "text",
         .help = "Named first, and used when a task asks for none."},
        {"backend", "exclude", KIND_LIST, AT_BACKEND(exclude), .check = text_pattern, .initial_text = "empty",
         .live = LIVE_REGISTERS, .type = "list of patterns with *", .help = "Models that are never offered."},
        {"backend", "api_key", KIND_SECRET, AT_BACKEND(api_key),
         .initial_text = "credential backend-api-key of an only backend, if passed, else none",
         ENV("IICP_BACKEND_API_KEY"), .credential = "backend-api-key", .live = LIVE_YES, .type = "secret",
         .help = "Key of the server."},
        {"backend", "max_concurrent", KIND_NUMBER, AT_BACKEND(max_concurrent), .min = 1, .max = 65536,
         .initial_text = "limits.max_concurrent", .live = LIVE_YES, .help = "Slots of this backend."},
        {"backend", "allow_remote_media", KIND_BOOL, AT_BACKEND(allow_remote_media),
         .initial_text = "no; anthropic yes", .live = LIVE_YES,
         .help = "Pass on http URLs of images and audio for the server to fetch."},
        {"backend", "tls_min", KIND_CHOICE, AT_BACKEND(tls_min), .choices = tls_words, .initial = "1.3", .live = LIVE_YES,
         .help = "Oldest TLS towards an https server."},
        {"backend", "experimental", KIND_BOOL, AT_BACKEND(experimental), .initial = "no", ENV("IICP_EXPERIMENTAL"),
         .live = LIVE_REGISTERS, .help = "meshllm: serve its model mesh, which is never listed."},
        /* limits */
        {"limits", "max_concurrent", KIND_NUMBER, AT(max_concurrent), .min = 1, .max = 65536, .initial = "4",
         ENV("IICP_MAX_CONCURRENT"), .live = LIVE_REGISTERS, .help = "Tasks at once; declared as at most 256."},
        {"limits", "tokens_per_min", KIND_NUMBER, AT(tokens_per_min), .min = 1, .max = UINT32_MAX, .initial = "10000",
         .live = LIVE_REGISTERS, .help = "Declared only."},
        {"limits", "max_tokens", KIND_NUMBER, AT(max_tokens), .min = 1, .max = UINT32_MAX, .initial = "8192",
         .live = LIVE_REGISTERS, .help = "Ceiling of one answer."},
        {"limits", "default_timeout", KIND_DURATION, AT(default_timeout_ms), .min = 1, .max = 300000, .initial = "60s",
         .live = LIVE_YES, .help = "For tasks without timeout_ms."},
        {"limits", "queue_wait", KIND_DURATION, AT(queue_wait_ms), .min = 0, .max = 2000, .initial = "0",
         .live = LIVE_YES, .help = "How long realtime and interactive tasks may wait for a slot."},
        {"limits", "drain", KIND_DURATION, AT(drain_ms), .min = 0, .max = 600000, .initial = "30s",
         .live = LIVE_YES, .help = "For running tasks at stop and drain."},
        {"limits", "per_origin", KIND_NUMBER, AT(per_origin), .min = 0, .max = 1000000, .initial = "120",
         ENV("IICP_TASK_RATE_LIMIT"), .live = LIVE_YES, .help = "Tasks of one web origin in a minute; 0 = no limit."},
        {"limits", "per_address", KIND_NUMBER, AT(per_address), .min = 0, .max = 1000000, .initial = "0",
         .live = LIVE_YES, .help = "Tasks of one IPv4 address or IPv6 /64 in a minute; 0 = no limit."},
        /* availability */
        {"availability", "window", KIND_WINDOWS, .initial_text = "none: always 100%", .live = LIVE_REGISTERS,
         .type = "HH:MM-HH:MM N%, may repeat",
         .help = "Share of the slots in that part of the day. The first match wins; outside all of them 50%."},
        {"availability", "utc", KIND_BOOL, AT(windows_utc), .initial = "no", .live = LIVE_REGISTERS,
         .help = "Windows are in UTC instead of local time."},
        /* directory */
        {"directory", "url", KIND_TEXT, AT(directory_url), .max = 500, .check = text_directory_url,
         .initial = IICP_DIRECTORY_DEFAULT, ENV("IICP_DIRECTORY_URL"), .live = LIVE_REGISTERS, .type = "URL",
         .help = "Base of all directory calls."},
        {"directory", "allow_http", KIND_BOOL, AT(directory_allow_http), .initial = "no",
         .initial_text = "no; loopback always may", .live = LIVE_YES, .help = "Plain http to a directory; for labs."},
        {"directory", "register", KIND_BOOL, AT(directory_register), .initial = "yes", ENV("IICP_SKIP_REGISTRATION"),
         .environment_form = ENV_INVERTED, .live = LIVE_YES, .help = "no: serve, and tell nobody."},
        {"directory", "ca_file", KIND_TEXT, AT(directory_ca_file), .max = 4000, .check = text_path,
         .initial_text = "system store", .live = LIVE_YES, .type = "file", .help = "Extra trust anchors, PEM."},
        {"directory", "redirect_origins", KIND_LIST, AT(directory_redirect_origins), .check = text_origin,
         .initial_text = "https://iicp.network while that is the directory, else empty", .live = LIVE_YES,
         .type = "list of origins", .help = "Where redirects may lead, credentials included."},
        {"directory", "key", KIND_TEXT, AT(directory_key), .max = 64, .check = text_key,
         .initial_text = "fetched, kept fresh", .live = LIVE_YES, .type = "64 hex digits",
         .help = "Pins the key by which consumer tokens are verified."},
        {"directory", "local_discovery", KIND_TEXT, AT(directory_local_discovery), .check = text_refuse_yes, .initial = "no",
         ENV("IICP_LOCAL_DIRECTORY_DISCOVERY"), .environment_form = ENV_YES_NO, .live = LIVE_NO, .type = "no",
         .help = "A draft of the protocol; yes is refused."},
        /* listen */
        {"listen", "port", KIND_NUMBER, AT(listen_port), .min = 1, .max = 65535, .initial = "9484", ENV("IICP_PORT"),
         .live = LIVE_NO, .help = "The task port."},
        {"listen", "address", KIND_TEXT, AT(listen_address), .max = 45, .check = text_address,
         .initial_text = ":: for both families, else 0.0.0.0", ENV("IICP_HOST"), .live = LIVE_NO,
         .type = "IPv4 or IPv6 address", .help = "Address to listen on."},
        {"listen", "port_strict", KIND_BOOL, AT(listen_port_strict), .initial = "no",
         .initial_text = "no; yes with node.public_endpoint", .live = LIVE_NO,
         .help = "A busy port fails the start, instead of trying the next 63."},
        {"listen", "tls_cert", KIND_SECRET, AT(tls_cert), .initial_text = "credential tls-cert, if passed, else none",
         .credential = "tls-cert", .live = LIVE_YES, .type = "secret",
         .help = "Certificate chain, PEM. With tls_key the port speaks TLS 1.3 and nothing else."},
        {"listen", "tls_key", KIND_SECRET, AT(tls_key), .initial_text = "credential tls-key, if passed, else none",
         .credential = "tls-key", .live = LIVE_YES, .type = "secret", .help = "Its private key, PEM."},
        {"listen", "native", KIND_CHOICE, AT(native), .choices = native_words, .initial = "auto",
         .initial_text = "auto: inside TLS only", ENV("IICP_DISABLE_NATIVE_TRANSPORT"), .environment_form = ENV_OFF,
         .live = LIVE_NO, .help = "Native frames; plaintext: in clear too."},
        {"listen", "native_port", KIND_NUMBER, AT(native_port), .min = 1, .max = 65535, .zero = "none", .initial = "none",
         .live = LIVE_NO, .help = "One more listener, for native frames alone."},
        {"listen", "native_strict", KIND_BOOL, AT(native_strict), .initial = "no", .live = LIVE_YES,
         .help = "Native frames to the letter; refuses today's Rust peers."},
        {"listen", "native_gzip", KIND_BOOL, AT(native_gzip), .initial = "yes", .live = LIVE_YES,
         .help = "Agree to compressed frames."},
        {"listen", "native_max_frame", KIND_SIZE, AT(native_max_frame), .min = 65536, .max = 16 << 20, .initial = "16MiB",
         .live = LIVE_YES, .help = "Payload of one frame."},
        {"listen", "native_max_message", KIND_SIZE, AT(native_max_message), .min = 16 << 20, .max = 1 << 30,
         .initial = "16MiB", .live = LIVE_YES, .help = "One message put together from fragments."},
        {"listen", "native_max_buffered", KIND_SIZE, AT(native_max_buffered), .min = 64 << 20, .max = 1 << 30,
         .initial = "64MiB", .live = LIVE_YES, .help = "Fragments held for one connection."},
        {"listen", "max_native", KIND_NUMBER, AT(max_native), .min = 1, .max = 1000000, .zero = "auto", .initial = "auto",
         .initial_text = "auto, at least 256", .live = LIVE_YES, .help = "Native connections at once."},
        {"listen", "max_native_per_source", KIND_NUMBER, AT(max_native_per_source), .min = 1, .max = 1000000,
         .zero = "auto", .initial = "auto", .initial_text = "auto, at least 32", .live = LIVE_YES,
         .help = "Native connections of one IPv4 address or IPv6 /64; never for loopback."},
        {"listen", "max_native_new", KIND_NUMBER, AT(max_native_new), .min = 1, .max = 1000000, .zero = "auto",
         .initial = "auto", .initial_text = "auto, at least 64", .live = LIVE_YES, .help = "Native connections before INIT."},
        {"listen", "max_connections", KIND_NUMBER, AT(max_connections), .min = 16, .max = 1000000, .zero = "auto",
         .initial = "auto", .initial_text = "auto: from the open-files limit, at least 256", .live = LIVE_YES,
         .help = "Connections at once."},
        {"listen", "max_per_source", KIND_NUMBER, AT(max_per_source), .min = 1, .max = 1000000, .zero = "auto",
         .initial = "auto", .initial_text = "auto, at least 64", .live = LIVE_YES,
         .help = "Connections of one IPv4 address or IPv6 /64; never for loopback or trusted proxies."},
        {"listen", "trusted_proxies", KIND_LIST, AT(trusted_proxies), .check = text_network, .initial_text = "empty",
         .live = LIVE_YES, .type = "list of addresses, networks", .help = "Whose X-Forwarded-For counts."},
        /* auth, tasks, intents, policy, encryption, nat */
        {"auth", "mode", KIND_CHOICE, AT(auth_mode), .choices = auth_words, .initial = "open", .live = LIVE_YES,
         .help = "open: anyone may run tasks here; required: known callers only."},
        {"auth", "caller_tokens", KIND_SECRET, AT(caller_tokens),
         .initial_text = "credential caller-tokens, if passed, else none", .credential = "caller-tokens",
         .live = LIVE_YES, .type = "secret", .help = "Tokens of known callers, a line [name:]token each."},
        {"tasks", "require_uuid", KIND_BOOL, AT(require_uuid), .initial = "yes", .live = LIVE_YES,
         .help = "Refuse task ids that are no UUID v4."},
        {"tasks", "lifecycle", KIND_BOOL, AT(lifecycle_enabled), .initial = "yes", .live = LIVE_REGISTERS,
         .help = "Serve streamed tasks: submit, status, events, cancel."},
        {"tasks", "dispatch_admission", KIND_BOOL, AT(dispatch_admission), .initial = "no", .live = LIVE_YES,
         .help = "A prototype whose tickets have no place in a task yet; only no can be used."},
        {"tasks", "any_model", KIND_BOOL, AT(any_model), .initial = "no", .live = LIVE_YES,
         .help = "Forward models that are not offered."},
        {"intents", "default", KIND_TEXT, AT(intent_default), .max = 255, .check = text_urn,
         .initial = "urn:iicp:intent:llm:chat:v1", ENV("IICP_INTENT"), .live = LIVE_REGISTERS, .type = "URN",
         .help = "Intent of models that are no embedding models; also of iicp."},
        {"intents", "extended", KIND_BOOL, AT(intents_extended), .initial = "no", .live = LIVE_REGISTERS,
         .help = "Also the registry's intents of translation, summary, classification and the like, run as chats."},
        {"intents", "custom", KIND_LIST, AT(intents_custom), .initial_text = "empty", .live = LIVE_REGISTERS,
         .type = "list of URN=intent", .help = "Vendor intents, each served as one of the registry's active ones."},
        {"intents", "capabilities", KIND_TEXT, AT(intents_capabilities), .max = 4000, .check = text_path,
         .initial_text = "derived from the models", .live = LIVE_REGISTERS, .type = "file",
         .help = "JSON array of capability objects that replaces the derived list and ends the watch over models."},
        {"policy", "allow_high_risk", KIND_BOOL, AT(allow_high_risk), .initial = "no", .live = LIVE_REGISTERS,
         .help = "Serve intents of high risk; public directories refuse them."},
        {"policy", "manifest", KIND_TEXT, AT(policy_manifest), .max = 4000, .check = text_path, .initial_text = "none",
         ENV("IICP_POLICY_MANIFEST_FILE"), .live = LIVE_REGISTERS, .type = "file",
         .help = "Public declaration about data, JSON; signed if it holds a signature or operator.identity is there."},
        {"credits", "award", KIND_BOOL, AT(credits_award), .initial = "yes", .live = LIVE_YES,
         .help = "Post a receipt for each finished task to the directory."},
        {"credits", "multiplier", KIND_TEXT, AT(credits_multiplier), .max = 16, .check = text_multiplier,
         .initial_text = "none: undeclared, counts 1", .live = LIVE_REGISTERS, .type = "0-1000, at most 4 decimals",
         .help = "Price of 1000 tokens in credits."},
        {"credits", "model", KIND_CHOICE, AT(credits_model), .choices = pricing_words, .initial = "per_token",
         .live = LIVE_REGISTERS, .help = "What the price is for."},
        {"credits", "sign", KIND_BOOL, AT(credits_sign), .initial = "no", .live = LIVE_YES,
         .help = "Sign the price in heartbeats."},
        {"credits", "from", KIND_TEXT, AT(credits_from), .max = 40, .check = text_time, .initial_text = "none",
         .live = LIVE_REGISTERS, .type = "RFC 3339 time", .help = "When the price begins."},
        {"credits", "until", KIND_TEXT, AT(credits_until), .max = 40, .check = text_time, .initial_text = "none",
         .live = LIVE_REGISTERS, .type = "RFC 3339 time", .help = "When it ends."},
        {"operator", "display_name", KIND_TEXT, AT(operator_display_name), .max = 256, .check = text_display_name,
         .initial_text = "that of operator.json", .live = LIVE_REGISTERS, .type = "text",
         .help = "Name that directories show; only with a delegation."},
        {"operator", "url", KIND_TEXT, AT(operator_url), .max = 256, .check = text_web_url, .initial_text = "none",
         .live = LIVE_REGISTERS, .type = "URL", .help = "Page of the operator."},
        {"operator", "delegation", KIND_SECRET, AT(operator_delegation),
         .initial_text = "credential delegation, if passed, else delegation.json in node.state_dir",
         .credential = "delegation", .live = LIVE_REGISTERS, .type = "secret",
         .help = "What iicpctl operator delegate wrote: the operator vouches for this node."},
        {"operator", "identity", KIND_SECRET, AT(operator_identity),
         .initial_text = "credential operator.json, if passed, else none", .credential = "operator.json",
         .live = LIVE_REGISTERS, .type = "secret",
         .help = "operator.json itself: the daemon signs short delegations. A delegation needs no key on this machine."},
        {"operator", "passphrase", KIND_SECRET, AT(operator_passphrase),
         .initial_text = "credential operator-passphrase, if passed, else none", ENV("IICP_OPERATOR_PASSPHRASE"),
         .credential = "operator-passphrase", .live = LIVE_YES, .type = "secret", .help = "Of a sealed operator.json."},
        {"encryption", "enabled", KIND_BOOL, AT(cx_enabled), .initial = "yes", .live = LIVE_REGISTERS,
         .help = "Without it official consumers stay away."},
        {"encryption", "require", KIND_BOOL, AT(cx_require), .initial = "no", .live = LIVE_YES,
         .help = "Refuse tasks in clear."},
        {"encryption", "rotate", KIND_DURATION, AT(cx_rotate_ms), .min = 86400000, .max = 90 * 86400000ULL,
         .initial = "80d", .live = LIVE_YES,
         .help = "Age at which the key is replaced; the old one opens tasks for a day more."},
        {"cip", "enabled", KIND_BOOL, AT(cip_enabled), .initial = "no", ENV("IICP_CIP_ALLOW_WORKER"), .live = LIVE_REGISTERS,
         .help = "Take part in cooperative inference."},
        {"cip", "worker", KIND_BOOL, AT(cip_worker), .initial = "no", ENV("IICP_CIP_ALLOW_WORKER"), .live = LIVE_REGISTERS,
         .help = "Run sub-tasks of coordinators; inference only."},
        {"cip", "min_reputation", KIND_TEXT, AT(cip_min_reputation), .max = 8, .check = text_share, .initial = "0",
         .live = LIVE_YES, .type = "0-1", .help = "Of a coordinator, as the directory says; 0 asks nothing."},
        {"cip", "max_concurrent", KIND_NUMBER, AT(cip_max_concurrent), .min = 1, .max = 256, .initial = "2", .live = LIVE_YES,
         .help = "Sub-tasks at once."},
        {"cip", "max_timeout", KIND_DURATION, AT(cip_max_timeout_ms), .min = 1000, .max = 60000, .initial = "30s",
         .live = LIVE_YES, .help = "Longest time of a sub-task."},
        {"nat", "auto", KIND_BOOL, AT(nat_auto), .initial = "yes", ENV("IICP_AUTO_DETECT_NAT"), .live = LIVE_REGISTERS,
         .help = "Find a route by itself; no: only node.public_endpoint and nat.tunnel_url."},
        {"nat", "map", KIND_BOOL, AT(nat_map), .initial = "yes", ENV("IICP_SKIP_UPNP"), .environment_form = ENV_INVERTED,
         .live = LIVE_REGISTERS, .help = "Ask routers for mappings and pinholes."},
        {"nat", "protocols", KIND_LIST, AT(nat_protocols), .check = text_map_protocol, .initial = "igd, pcp, natpmp",
         .live = LIVE_REGISTERS, .type = "list of igd, pcp, natpmp", .help = "What routers are asked by, in this order."},
        {"nat", "dual_stack", KIND_BOOL, AT(nat_dual_stack), .initial = "yes", .live = LIVE_REGISTERS,
         .help = "Verify IPv6 behind an IPv4 route, too."},
        {"nat", "advertise_unverified_ipv6", KIND_BOOL, AT(nat_advertise_unverified_ipv6), .initial = "no",
         .live = LIVE_REGISTERS, .help = "Publish an IPv6 address that nobody could look at; callers may find it closed."},
        {"nat", "probe_url", KIND_TEXT, AT(nat_probe_url), .max = 400, .check = text_probe_url,
         .initial_text = "none: the directory's probe", .live = LIVE_YES, .type = "URL with {host} and {port}",
         .help = "A service of yours that connects back and answers {\"reachable\":true}."},
        {"nat", "echo_url", KIND_TEXT, AT(nat_echo_url), .max = 255, .check = text_echo_url,
         .initial = "https://api.ipify.org", ENV("IICP_EXTERNAL_IP_PROBE_URL"), .live = LIVE_YES, .type = "URL or off",
         .help = "Tells our IPv4 address when no directory did lately."},
        {"nat", "tunnel_url", KIND_TEXT, AT(nat_tunnel_url), .max = 255, .check = text_tunnel_url, .initial_text = "none",
         ENV("IICP_TUNNEL_URL", "TUNNEL_URL", "CLOUDFLARE_TUNNEL_URL"), .live = LIVE_REGISTERS, .type = "URL, https",
         .help = "A tunnel of yours that leads to the task port."},
        {"nat", "allow_private", KIND_BOOL, AT(allow_private), .initial = "no", .live = LIVE_REGISTERS,
         .help = "Register private addresses; private directories, tests."},
        /* relay */
        {"relay", "operator", KIND_BOOL, AT(relay_operator), .initial = "no", ENV("IICP_RELAY_CAPABLE"), .live = LIVE_NO,
         .help = "Be a relay: take workers that nobody can reach, pass tasks on to them."},
        {"relay", "port", KIND_NUMBER, AT(relay_port), .min = 1, .max = 65535, .initial = "9485",
         ENV("IICP_RELAY_ACCEPT_PORT"), .live = LIVE_NO,
         .help = "Where workers dial in. No directory tells it to them: another port is found by fixed relays and gossip only."},
        {"relay", "plaintext", KIND_BOOL, AT(relay_plaintext), .initial = "yes", .live = LIVE_NO,
         .help = "Plain frames there beside TLS; workers of today know no other."},
        {"relay", "tickets", KIND_CHOICE, AT(relay_tickets), .choices = ticket_words, .initial = "soft",
         ENV("IICP_RELAY_REQUIRE_BIND_TICKET"), .environment_form = ENV_REQUIRED, .live = LIVE_YES,
         .help = "Tickets of the directory at a bind: not looked at, checked if sent, demanded."},
        {"relay", "ticket_key", KIND_TEXT, AT(relay_ticket_key), .max = 64, .check = text_key,
         .initial_text = "the directory's", ENV("IICP_RELAY_BIND_TICKET_PUBLIC_KEY"), .live = LIVE_YES,
         .type = "64 hex digits", .help = "Key by which tickets are verified."},
        {"relay", "bind_rate", KIND_NUMBER, AT(relay_bind_rate), .max = 1000000, .initial = "30",
         ENV("IICP_RELAY_BIND_RATE_LIMIT"), .live = LIVE_YES,
         .help = "New binds a minute of one IPv4 address or IPv6 /64; 0 is no limit."},
        {"relay", "max_sessions", KIND_NUMBER, AT(relay_max_sessions), .min = 1, .max = 1000000, .zero = "auto",
         .initial = "auto", .initial_text = "auto: from the open-files limit, at least 256", .live = LIVE_YES,
         .help = "Workers at once."},
        {"relay", "max_per_source", KIND_NUMBER, AT(relay_max_per_source), .min = 1, .max = 1000000, .zero = "auto",
         .initial = "auto", .initial_text = "auto, at least 32", .live = LIVE_YES,
         .help = "Connections of one IPv4 address or IPv6 /64 on the relay port; never for loopback."},
        {"relay", "max_in_flight", KIND_NUMBER, AT(relay_max_in_flight), .min = 1, .max = 1024, .initial = "64",
         .live = LIVE_YES, .help = "Tasks of one worker at once."},
        {"relay", "max_body", KIND_SIZE, AT(relay_max_body), .min = 1 << 20, .max = 16777204, .initial = "1MiB",
         .live = LIVE_YES, .help = "A relayed task, or its result."},
        /* mesh */
        {"mesh", "enabled", KIND_BOOL, AT(mesh_enabled), .initial = "no", .live = LIVE_NO,
         .help = "Tell other nodes which nodes are there, and ask them; signed. Tasks never use it."},
        /* recovery */
        {"recovery", "grace", KIND_NUMBER, AT(recovery_grace), .min = 1, .max = 100, .initial = "3",
         ENV("IICP_RECOVERY_GRACE_CHECKS"), .environment_forgiven = true, .live = LIVE_YES,
         .help = "Checks that may fail before a restart or the operator is asked for."},
        {"recovery", "every", KIND_NUMBER, AT(recovery_every), .min = 1, .max = 100, .initial = "2",
         ENV("IICP_RECOVERY_CHECK_EVERY_HEARTBEATS"), .environment_forgiven = true, .live = LIVE_YES,
         .help = "Heartbeats between two checks; a minute while something is wrong."},
        {"recovery", "supervised", KIND_CHOICE, AT(recovery_supervised), .choices = supervised_words, .initial = "auto",
         ENV("IICP_SUPERVISED"), .environment_form = ENV_YES_NO, .environment_forgiven = true, .live = LIVE_NO,
         .help = "Whether somebody starts iicpd again when it ends; auto: when NOTIFY_SOCKET is set."},
        {"recovery", "restart", KIND_BOOL, AT(recovery_restart), .initial = "yes", ENV("IICP_RECOVERY_SUPERVISED_EXIT"),
         .environment_forgiven = true, .live = LIVE_YES,
         .help = "End with status 76 (or 75) to be started again where nothing else helps; at most 5 times an hour."},
        /* network, metrics, log, control */
        {"network", "proxy", KIND_TEXT, AT(network_proxy), .max = 255, .check = text_proxy_url,
         .initial_text = "none; environment proxies are ignored", .live = LIVE_YES, .type = "URL",
         .help = "Proxy for directory traffic."},
        {"metrics", "enabled", KIND_BOOL, AT(metrics_enabled), .initial = "yes", .live = LIVE_YES,
         .help = "/metrics on the task port."},
        {"metrics", "listen", KIND_TEXT, AT(metrics_listen), .max = 64, .check = text_listen, .initial_text = "none",
         .live = LIVE_NO, .type = "ADDRESS:PORT",
         .help = "Moves /metrics to a listener of its own, with /livez and /readyz; no authentication."},
        {"trace", "endpoint", KIND_TEXT, AT(trace_endpoint), .max = 400, .check = text_backend_url,
         .initial_text = "none: off", ENV("OTEL_EXPORTER_OTLP_ENDPOINT"), .live = LIVE_YES, .type = "URL",
         .help = "Spans of tasks by OTLP/HTTP to this URL + /v1/traces."},
        {"trace", "traces_endpoint", KIND_TEXT, AT(trace_traces_endpoint), .max = 400, .check = text_backend_url,
         .initial_text = "none", ENV("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), .live = LIVE_YES, .type = "URL",
         .help = "The same, to this URL as it is."},
        {"log", "events_dir", KIND_TEXT, AT(events_dir), .max = 4000, .check = text_path,
         .initial_text = "none: no file", ENV("IICP_LOG_DIR"), .live = LIVE_NO, .type = "path",
         .help = "Folder of events.jsonl: registrations and heartbeats, never tasks; 10 MiB, 3 generations."},
        {"log", "level", KIND_CHOICE, AT(log_level), .choices = level_words, .initial = "info", .live = LIVE_YES,
         .help = "What is written."},
        {"log", "format", KIND_CHOICE, AT(log_format), .choices = format_words, .initial = "auto",
         .initial_text = "auto: journal when there is one, else text", .live = LIVE_NO, .help = "How it is written."},
        {"log", "tasks", KIND_BOOL, AT(log_tasks), .initial = "no", .live = LIVE_YES,
         .help = "A line for each finished task."},
        {"control", "socket", KIND_TEXT, AT(control_socket), .max = 107, .check = text_path,
         .initial_text = "control.sock in node.runtime_dir", .live = LIVE_NO, .type = "path", .help = "Unix socket of iicpctl."},
        {"control", "group", KIND_TEXT, AT(control_group), .max = 32, .check = text_group,
         .initial_text = "iicp if it exists (mode 0660), else none (0600)", .live = LIVE_NO, .type = "group",
         .help = "Group that may use the control socket."},
        {"control", "status_socket", KIND_BOOL, AT(control_status_socket), .initial = "no", .live = LIVE_NO,
         .help = "A second socket, status.sock, for all users: reading only, without addresses."},
        /* consumer */
        {"consumer", "region", KIND_TEXT, AT(consumer_region), .max = 64, .check = text_region, .initial_text = "none",
         ENV("IICP_REGION"), .consumer = true, .live = LIVE_YES, .type = "text", .help = "Wish, sent to the directory."},
        {"consumer", "timeout", KIND_DURATION, AT(consumer_timeout_ms), .min = 100, .max = 120000,
         .initial_text = "30s; iicp ask 60s", .consumer = true, .live = LIVE_YES, .help = "Of one attempt."},
        {"consumer", "retries", KIND_NUMBER, AT(consumer_retries), .min = 1, .max = 10, .initial = "3",
         ENV("IICP_PROXY_MAX_RETRIES", "IICP_PROXY_ROUTING__MAX_RETRIES"), .consumer = true, .live = LIVE_YES,
         .help = "Tries on a node, and nodes tried."},
        {"consumer", "directory_timeout", KIND_DURATION, AT(consumer_directory_timeout_ms), .min = 100, .max = 60000,
         .initial = "5s", ENV("IICP_PROXY_DIRECTORY_TIMEOUT_MS"), .environment_form = ENV_MS, .consumer = true,
         .live = LIVE_YES, .help = "Of one directory call."},
        {"consumer", "allow_private_endpoints", KIND_BOOL, AT(consumer_allow_private), .initial = "no",
         ENV("IICP_PROXY_ALLOW_LOOPBACK_NODES"), .consumer = true, .live = LIVE_YES, .help = "Dial nodes on private addresses; for labs."},
        {"consumer", "provider_tokens", KIND_SECRET, AT(consumer_provider_tokens), .initial_text = "none",
         .consumer = true, .live = LIVE_YES, .type = "secret",
         .help = "What operators gave us for their nodes, a line node_id token each; needed for streams."},
        {"consumer", "allow_plaintext", KIND_BOOL, AT(consumer_allow_plaintext), .initial = "no",
         ENV("IICP_CX_ALLOW_PLAINTEXT"), .consumer = true, .live = LIVE_YES, .help = "Send tasks unencrypted to nodes without a key; for debugging."},
};
const size_t config_n_keys = ARRAY_SIZE(config_keys);

const char *const config_not_built[] = {
        "directory.ticket_issuers",
        "nat.fallback",
        "nat.declare_verified_ipv6", "nat.ptr_hint",
        "nat.tunnel", "nat.tunnel_program", "nat.tunnel_detect", "nat.tunnel_dead",
        "nat.tunnel_spacing", "nat.tunnel_lease", "nat.tunnel_jitter", "nat.tunnel_cooldown", "nat.tunnel_create_file",
        "nat.tunnel_lock_file", "nat.tunnel_cooldown_file", "relay.worker", "relay.worker_plaintext",
        "relay.any_audience",
        "operator.profile", "operator.approve_mapping", "operator.approve_tunnel", "network.proxy_password",
        "consumer.overall_timeout", "consumer.discovery", "consumer.strategy", "consumer.epsilon", "consumer.top_k",
        "consumer.tau", "consumer.profile", "consumer.regions", "consumer.require_encryption",
        "consumer.allow_remote_executor", "consumer.require_manifest", "consumer.require_no_retention",
        "consumer.known_operator_only", "consumer.manifest_identity", "consumer.auth", "consumer.credential",
        "consumer.node_id", "consumer.runtime_identity", "consumer.max_body",
        "consumer.breaker_failures", "consumer.breaker_reset", "consumer.retry_base", "consumer.retry_cap",
        "consumer.retry_hint_cap", "consumer.qos_attempts", "consumer.compat_qos_class", "consumer.fallback_url",
        "gateway.address", "gateway.port", "gateway.key", "gateway.region", "gateway.names", "gateway.origins",
        "gateway.max_requests", "gateway.cache", NULL,
};

#define UPDATES "packages update iicpd"
#define IMPORT "iicpctl import takes over what the SDKs keep there"
#define LATER "this build does not have it yet"
#define DRAFT "private trust domains are a draft"

const struct config_foreign_name config_foreign_names[] = {
        {"IICP_AUTO_UPDATE", FOREIGN_IGNORED, UPDATES}, {"IICP_AUTO_UPDATE_INTERVAL_S", FOREIGN_IGNORED, UPDATES},
        {"IICP_UPDATE_STATE_FILE", FOREIGN_IGNORED, UPDATES}, {"IICP_MANAGED_UPDATE_AUTHENTICATED", FOREIGN_IGNORED, UPDATES},
        {"IICP_MANAGED_ROLLBACK_VERIFIED", FOREIGN_IGNORED, UPDATES}, {"IICP_MANAGED_RUST_BIN", FOREIGN_IGNORED, UPDATES},
        {"IICP_TUNNEL_WAIT_FOR_CAPACITY", FOREIGN_IGNORED, "nothing blocks on it"},
        {"IICP_SYSTEMD_WATCHDOG_SEC", FOREIGN_IGNORED, "the unit decides"},
        {"IICP_SUPPORTED_RECEIPT_PROFILES", FOREIGN_IGNORED, "none is supported"},
        {"IICP_CONFIG_FILE", FOREIGN_WARNED, IMPORT}, {"IICP_CX_KEY_DIR", FOREIGN_WARNED, IMPORT},
        {"IICP_OPERATOR_BACKUP_PASSPHRASE", FOREIGN_WARNED, IMPORT},
        {"IICP_WITH_PROXY", FOREIGN_WARNED, "the gateway is a program of its own"},
        {"IICP_FORCE", FOREIGN_WARNED, "a lock is never taken over"},
        {"IICP_MODE", FOREIGN_REFUSED, DRAFT}, {"IICP_TRUST_DOMAIN_ID", FOREIGN_REFUSED, DRAFT},
        {"IICP_TRUSTED_DOMAINS", FOREIGN_REFUSED, DRAFT}, {"IICP_DIRECTORY_AUTHORITY", FOREIGN_REFUSED, DRAFT},
        {"IICP_MEMBERSHIP", FOREIGN_REFUSED, DRAFT},
        {"IICP_ALLOW_PUBLIC_FALLBACK", FOREIGN_WARNED, "what it belongs to is not built"},
        {"IICP_PROXY_CIP_*", FOREIGN_WARNED, "what it belongs to is not built"},
        {"IICP_MCP_*", FOREIGN_WARNED, "what it belongs to is not built"},
        /* keys of the contract that have no effect in this build */
        {"IICP_TUNNEL", FOREIGN_NOT_BUILT, LATER},
        {"IICP_TUNNEL_*", FOREIGN_NOT_BUILT, LATER}, {"IICP_RELAY_*", FOREIGN_NOT_BUILT, LATER},
        {"IICP_OPERATOR_PROFILE", FOREIGN_NOT_BUILT, LATER}, {"IICP_MANAGED_UPNP_APPROVED", FOREIGN_NOT_BUILT, LATER},
        {"IICP_MANAGED_TUNNEL_APPROVED", FOREIGN_NOT_BUILT, LATER},
};
const size_t config_n_foreign_names = ARRAY_SIZE(config_foreign_names);

bool key_of_backend(const struct config_key *k) {
        return strcmp(k->section, "backend") == 0;
}

void *key_place(const struct config_key *k, struct config *c, struct config_backend *b) {
        return (key_of_backend(k) ? (char *) b : (char *) c) + k->offset;
}

const void *key_value(const struct config_key *k, const struct config *c, const struct config_backend *b) {
        return (key_of_backend(k) ? (const char *) b : (const char *) c) + k->offset;
}

struct config_origin *key_origin(const struct config_key *k, struct config *c, struct config_backend *b) {
        return (key_of_backend(k) ? b->origins : c->origins) + (k - config_keys);
}

const struct config_key *key_find(const char *section, const char *name) {
        for (size_t i = 0; i < config_n_keys; i++)
                if (strcmp(config_keys[i].section, section) == 0 && strcmp(config_keys[i].name, name) == 0)
                        return &config_keys[i];
        return NULL;
}

void origin_clear(struct config_origin *o) {
        free(o->name);
        free(o->over);
        *o = (struct config_origin){0};
}
