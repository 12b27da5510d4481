/* SPDX-License-Identifier: Apache-2.0 */
#include "control/schema.h"

/* One row for each document: its members, as schema.h says. Members are only ever added (a star in
 * front of those that are not always there), never removed or retyped: tests/vectors/schemas.txt holds
 * what was published. */

#define FINDING \
        "id:s severity:s subject:s since:s what:s why:s? do:s? until:s? evidence:{} caused_by:s? see:s"
#define BACKEND \
        "name:s type:s flavour:s state:s reason:s models:i in_flight:i slots:i ok:i failed:i list_ok:b " \
        "auth_failed:b undecided:b *retry_after_s:i"
#define DIRECTORY \
        "state:s registered:b why:s url:s node_id:s models:[s] registrations:i heartbeats_ok:i heartbeats_failed:i " \
        "*last_good_s:i? *next_heartbeat_ms:i? *batch:{} *key:{}? *operator:{} *source_differs:b *policy_sticks:b " \
        "*left_out:[s] *recovery:{}"
#define SESSION \
        "worker_id:s transport:s alive:b ticket:b lifecycle:b source:s age_s:i silent_s:i in_flight:i pulls:i calls:i " \
        "failed:i bytes_to:i bytes_from:i mean_ms:i intent:s models:[s]"
#define SOURCE "source:s sessions:i in_flight:i calls:i failed:i bytes:i"
#define ENCRYPTION \
        "enabled:b *key_id:s? *age_days:i *not_after:s? *rotates_at:s? *pending:s? *overdue:b"
#define PROBLEM "where:s line:i column:i severity:s text:s *excerpt:s?"
#define CHANGE "key:s *from:s? *to:s? live:b *registers_again:b"
#define ERROR "code:s message:s do:s"
#define REACHABILITY "tier:i kind:s *route:s *looking:b *why:s *guidance:[a] *log:[a]"

const struct schema schemas[] = {
        {"accepted", "request:i event:s"},
        {"backends", "backends:[" BACKEND "]"},
        {"config", "keys:[key:s value:s? from:s *source:s? *line:i *over:s? *live:s] *file:s? *as_on_disk:b"},
        {"config-diff", "usable:b problems:[a] changes:[a]"},
        {"credits", "*account:{} *balance:a *transactions:[a] *receipts:[a]"},
        {"deregister", "deregistered:b"},
        {"directory", "directory:{" DIRECTORY "}"},
        {"drain", "draining:b running:i"},
        {"error", "error:{" ERROR "}"},
        {"event", "id:i at:s type:s event:s *level:s *message:s *subject:s *reason:s *code:s *backend:s *model:s "
                  "*task_id:s *door:s *status:i *took_ms:i"},
        {"doctor", "online:b checks:[check:s verdict:s text:s do:s?]"},
        {"findings", "findings:[" FINDING "]"},
        {"kick", "worker_id:s kept_out_s:i"},
        {"health", "state:s liveness:s readiness:s reasons:[s] sentence:s"},
        {"identity-reset", "node_id:s"},
        {"index", "resources:[path:s method:s level:s *schema:s]"},
        {"lagged", "after:i oldest:i"},
        {"log", "level:s configured:s *until:s? *by:s?"},
        {"models", "models:[model:s backend:s *context:i? *there:b] *directory:s *registered:[s]"},
        {"page", "url:s"},
        {"peers", "mesh:{} peers:[a]"},
        {"quote", "*quote:{}"},
        {"redetect", "started:b"},
        {"relays", "*relays:[a]"},
        {"reload", "ok:b problems:[" PROBLEM "] changes:[" CHANGE "] running:i *error:{" ERROR "}"},
        {"reregister", "registered:b *class:s *code:s *fields:s *next_try_ms:i *error:{" ERROR "}"},
        {"rotate-key", "encryption:{" ENCRYPTION "}"},
        {"routes", "reachability:{" REACHABILITY "}"},
        {"schemas", "names:[s]"},
        {"selftest", "ok:b *model:s *tokens:i *took_ms:i *counted:b *paid:b *error:{" ERROR "}"},
        {"sessions", "alive:i max:i native:i long_poll:i max_in_flight:i bound_last_minute:i refused:{} "
                     "held_out:[worker_id:s left_s:i] *sessions:[" SESSION "] *next:s? *n_sources:i *sources:[" SOURCE "]"},
        {"status", "version:s state:s sentence:s *why:s? *do:s? *until:s? findings:[" FINDING "] "
                   "node:{name:s node_id:s region:s pid:i uptime_s:i} health:{liveness:s readiness:s reasons:[s]} "
                   "route:{endpoint:s? transport_endpoint:s? *tier:i *kind:s *mapping:s reason:s? port:i loopback_only:b "
                   "connections:i max_connections:i} "
                   "tasks:{active:i waiting:i slots:i effective_slots:i success:i error:i timeout:i aborted:i refused:i "
                   "sub_tasks:i p50_ms:i p99_ms:i} listen:{} native:{}? draining:s? "
                   "backend_stability:{backend_state:s reason_class:s} backends:[" BACKEND "] "
                   "directory:{" DIRECTORY "} clock:{state:s} encryption:{" ENCRYPTION "} config:{file:s? *as_on_disk:b "
                   "*restart_pending:b} *relay:{}? *awards:{} *mesh:{}"},
        {"task", "*task:{}"},
        {"tasks", "tasks:[task_id:s *age_ms:i *qos:s *model:s? *door:s *left_ms:i *doing:s] *finished:[task_id:s *status:i]"},
        {"version", "version:s api:s *running:s *iicpctl:s"},
};
const size_t n_schemas = sizeof(schemas) / sizeof(schemas[0]);
