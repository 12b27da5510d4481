/* SPDX-License-Identifier: Apache-2.0 */
/* The library's native client over a blocking socket, for tests:
 *
 *     native-call HOST PORT PAYLOAD [TASK-ID]
 *
 * One CALL (with TASK-ID a lifecycle one); a line of JSON for each RESPONSE, then the state. */

#include <arpa/inet.h>
#include <iicp/native.h>
#include <iicp/uuid.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void say_text(const char *name, struct iicp_str s) {
        struct iicp_buf b = {0};

        iicp_buf_json_str(&b, s);
        printf(",\"%s\":%s", name, s.p ? b.p : "null");
        iicp_buf_free(&b);
}

static void on_response(void *arg, const struct iicp_msg_response *m, struct iicp_str json, struct iicp_str text) {
        (void) arg;
        printf("{\"failed\":%s,\"code\":%llu", iicp_msg_response_failed(m) ? "true" : "false", (unsigned long long) m->code);
        say_text("call_id", m->call_id);
        say_text("node_id", m->node_id);
        say_text("event", m->lifecycle.event);
        say_text("text", text);
        printf(",\"result\":%.*s}\n", json.n ? (int) json.n : 4, json.n ? json.p : "null");
}

static int flush(struct iicp_native *c, int fd) {
        struct iicp_str out = iicp_native_output(c);

        while (out.n > 0) {
                ssize_t n = write(fd, out.p, out.n);

                if (n <= 0)
                        return -1;
                iicp_native_sent(c, (size_t) n);
                out = iicp_native_output(c);
        }
        return 0;
}

static int start_call(struct iicp_native *c, const char *payload, const char *task_id) {
        static char session[IICP_UUID_TEXT], call[IICP_UUID_TEXT];
        struct iicp_msg_call m = {.has_version = true, .version = 1, .intent = IICP_STR("urn:iicp:intent:llm:chat:v1"),
                                  .timeout_s = 30, .task_id = iicp_str(task_id)};

        if (iicp_uuid4(session) < 0 || iicp_uuid4(call) < 0)
                return -1;
        m.session_id = iicp_str(session);
        m.call_id = iicp_str(call);
        return iicp_native_call(c, &m, iicp_str(payload));
}

int main(int argc, char **argv) {
        struct sockaddr_in to = {.sin_family = AF_INET};
        struct iicp_native *c = iicp_native_new(on_response, NULL);
        char in[65536];
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        if (argc < 4 || !c || fd < 0 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
                return 2;
        to.sin_port = htons((uint16_t) atoi(argv[2]));
        if (connect(fd, (struct sockaddr *) &to, sizeof to) < 0 || start_call(c, argv[3], argc > 4 ? argv[4] : NULL) < 0)
                return 1;
        do {
                ssize_t n = flush(c, fd) < 0 ? -1 : read(fd, in, sizeof in);

                if (n <= 0) {
                        iicp_native_end_of_input(c);
                        break;
                }
                iicp_native_input(c, (struct iicp_str){in, (size_t) n});
        } while (iicp_native_state(c) == IICP_NATIVE_HANDSHAKE || iicp_native_state(c) == IICP_NATIVE_CALLING);
        printf("{\"state\":\"%s\",\"why\":\"%s\"}\n", iicp_native_state(c) == IICP_NATIVE_READY ? "ready" : "over", iicp_native_why(c));
        iicp_native_close(c);
        flush(c, fd);
        close(fd);
        iicp_native_free(c);
        return 0;
}
