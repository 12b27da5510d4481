/* SPDX-License-Identifier: Apache-2.0 */
#include "findings/catalogue.h"

#include "util.h"

#include <stdio.h>
#include <string.h>

/* Route findings have the words of guidance.c: one truth. Here stands what the page needs besides. */

#define LOOKS "the daemon looks again by itself; iicpctl redetect looks now"
#define STATUS "iicpctl status does not show it any more"
#define NETCHECK "iicpctl netcheck shows a tier below 4"
#define REGISTERED "iicpctl directory: registered"

const struct finding_kind finding_kinds[] = {
        {"clock.off", GROUP_CLOCK, SEVERITY_WARN, "the clock of this machine cannot be right, or was set while the node ran",
         "no time synchronisation; a virtual machine that was paused; a flat battery of the board",
         "timedatectl set-ntp true", STATUS},
        {"internet.unavailable", GROUP_INTERNET, SEVERITY_WARN, "this machine has no route to anywhere",
         "cable or Wi-Fi off; the router is down; no address from DHCP", "ip route; then the router", "ip route shows a default route"},
        {"dns.unavailable", GROUP_DNS, SEVERITY_WARN, "the name of the directory cannot be resolved",
         "the resolver is down; the name in directory.url is misspelt", "resolvectl query NAME; check directory.url",
         "iicpctl directory answers"},
        {"directory.unreachable", GROUP_DIRECTORY, SEVERITY_WARN,
         "the directory has not answered for 90 s: known consumers still reach this node, new ones cannot look it up",
         "the directory is down; a firewall or proxy on the way out; directory.url is wrong",
         "nothing; counts are kept and delivered when it answers", "the log has directory_back"},
        {"directory.waiting", GROUP_REGISTRATION, SEVERITY_INFO, "this node has nothing to register yet",
         "no backend has named a model; no endpoint is known", "iicpctl backends; iicpctl routes", REGISTERED},
        {"directory.left", GROUP_REGISTRATION, SEVERITY_INFO, "this node has left the directory on request",
         "iicpctl deregister", "iicpctl reregister comes back", REGISTERED},
        {"directory.redirect_refused", GROUP_DIRECTORY, SEVERITY_WARN,
         "the directory redirects to an origin that is not listed; no credential went there",
         "the directory moved; somebody sits in between", "directory.redirect_origins, if you trust that origin", REGISTERED},
        {"directory.rate_limited", GROUP_REGISTRATION, SEVERITY_WARN, "too many registrations from this address",
         "a restart loop; many nodes behind one address", "nothing; the node waits as long as it is told", REGISTERED},
        {"directory.endpoint_not_routable", GROUP_REGISTRATION, SEVERITY_WARN, "the directory takes this endpoint for not public",
         "node.public_endpoint names a private address", "iicpctl netcheck; node.public_endpoint", REGISTERED},
        {"directory.liveness_failed", GROUP_REGISTRATION, SEVERITY_WARN, "the directory could not reach this node's endpoint",
         "no port is forwarded; a firewall on this machine; the provider shares one address", "iicpctl netcheck", REGISTERED},
        {"directory.ownership_denied", GROUP_REGISTRATION, SEVERITY_WARN, "the directory does not take this node for the owner of its id",
         "the state folder was restored or copied; another machine uses the same identity",
         "restore node.state_dir; at last iicpctl identity reset (reputation is lost)", REGISTERED},
        {"directory.intent_refused", GROUP_REGISTRATION, SEVERITY_WARN, "the directory does not list this kind of task",
         "intents.* names something it forbids", "change intents.* and reload", REGISTERED},
        {"directory.capacity_refused", GROUP_REGISTRATION, SEVERITY_WARN, "too many nodes are active behind this address",
         "20 nodes of one source are its limit", "fewer nodes, or another address to go out by", REGISTERED},
        {"directory.operator_refused", GROUP_REGISTRATION, SEVERITY_WARN, "the directory does not take the operator's part of the registration",
         "the display name is taken; the operator's key was replaced or revoked",
         "change operator.display_name, or iicpctl operator delegate", "iicpctl directory: nothing is left out"},
        {"directory.pricing_refused", GROUP_REGISTRATION, SEVERITY_WARN, "the directory does not take the price",
         "the price is not signed by the operator it knows", "check credits.* and operator.*", "iicpctl directory: nothing is left out"},
        {"directory.validation_error", GROUP_REGISTRATION, SEVERITY_WARN, "the directory takes a field of the registration for wrong",
         "a configured name or intent that it has no grammar for", "iicpctl directory names the fields", REGISTERED},
        {"directory.membership_denied", GROUP_REGISTRATION, SEVERITY_WARN, "this node is no member of the directory's domain",
         "a closed directory; the node was expelled", "ask the directory's operator; directory.url", REGISTERED},
        {"directory.unauthorized", GROUP_REGISTRATION, SEVERITY_WARN, "the directory does not take this node's token",
         "the state folder was restored from an old copy", "nothing; the node registers again", REGISTERED},
        {"directory.unknown_node", GROUP_REGISTRATION, SEVERITY_WARN, "the directory does not know this node any more",
         "it forgot its data; the node was silent for 90 days", "nothing; the node registers again", REGISTERED},
        {"directory.server_error", GROUP_REGISTRATION, SEVERITY_WARN, "the directory has a fault of its own",
         "it is being updated, or is overloaded", "nothing; it is tried again", REGISTERED},
        {"directory.transport", GROUP_REGISTRATION, SEVERITY_WARN, "the directory could not be asked for a registration",
         "it is down; a firewall or proxy on the way out; directory.url is wrong", "iicpctl directory", REGISTERED},
        {"directory.other", GROUP_REGISTRATION, SEVERITY_WARN, "the directory refused the registration for a reason unknown to this version",
         "a newer directory", "iicpctl directory shows its code; look for a newer iicpd", REGISTERED},
        {"recovery.route_mismatch", GROUP_ROUTE, SEVERITY_INFO, "this node is reached elsewhere than the directory says",
         "the public address changed", "nothing; it registers again", "the log has recovery ... stable"},
        {"recovery.endpoint_dead", GROUP_ROUTE, SEVERITY_INFO, "the way in is lost and another is looked for",
         "the router restarted; the public address changed", LOOKS, NETCHECK},
        {"recovery.tunnel_starting", GROUP_ROUTE, SEVERITY_INFO, "a tunnel or a session to a relay is being made", "the way in was lost", "nothing", NETCHECK},
        {"recovery.tunnel_cooldown", GROUP_ROUTE, SEVERITY_INFO, "the tunnel's provider wants this node to wait",
         "too many tunnels in a short time", "nothing; it is tried again when the time is over", NETCHECK},
        {"recovery.backend_attention", GROUP_ALONE, SEVERITY_INFO, "no backend takes tasks; the directory is told",
         "the inference server is down, loading or overloaded", "iicpctl backends", "the log has backend_up"},
        {"recovery.supervisor_restart_pending", GROUP_ALONE, SEVERITY_WARN, "the daemon ends itself to be started anew",
         "its own port does not answer; the way in stays lost", "nothing; journalctl -u iicpd says which", STATUS},
        {"recovery.operator_action_needed", GROUP_ROUTE, SEVERITY_WARN, "the daemon cannot get its way in back by itself",
         "the way in stays lost; five restarts within an hour did not help", "iicpctl netcheck, then node.public_endpoint", NETCHECK},
        {"recovery.unavailable", GROUP_DIRECTORY, SEVERITY_INFO, "nothing is known about this node's place in the mesh",
         "the directory does not answer", "nothing; it is asked again", "the log has directory_back"},
        {"backend.unreachable", GROUP_ALONE, SEVERITY_FAIL, "an inference server does not answer",
         "it is not running; it listens elsewhere than backend.NAME.url says; it is overloaded",
         "start it; iicpd notices within 5 s, no restart is needed", "the log has backend_up"},
        {"backend.auth", GROUP_ALONE, SEVERITY_WARN, "an inference server rejects our key",
         "the key was replaced or has ended; the wrong secret is referred to", "check api_key of that backend, then iicpctl reload",
         "iicpctl backends: ok"},
        {"backend.paused", GROUP_ALONE, SEVERITY_WARN, "an inference server is busy with itself and gets no task for a while",
         "it loads a model; it failed several times in a row", "nothing; it is asked again within a minute", "iicpctl backends: ok"},
        {"backend.undecided", GROUP_ALONE, SEVERITY_INFO, "an inference server has several models and none is loaded, so that none is chosen",
         "backend.NAME.model is not set", "set backend.NAME.model and reload", "iicpctl models lists it"},
        {"backend.no_model", GROUP_ALONE, SEVERITY_INFO, "an inference server has no model",
         "nothing was pulled yet; exclude takes all of them out", "ollama pull MODEL; backend.NAME.exclude", "iicpctl models lists one"},
        {"backend.demo", GROUP_ALONE, SEVERITY_INFO, "the backend is the demo: it returns fixed text and is not a model",
         "backend.NAME.type = demo", "configure an inference server", "iicpctl backends"},
        {"capacity.window_closed", GROUP_ALONE, SEVERITY_FAIL, "the availability window is closed",
         "availability.window leaves this time of the day out", "nothing; it opens by itself", "iicpctl status shows slots"},
        {"tasks.draining", GROUP_ALONE, SEVERITY_FAIL, "no new tasks are taken; running ones finish",
         "iicpctl drain, or a pause through /v1/control", "iicpctl undrain takes it back", STATUS},
        {"node.starting", GROUP_ALONE, SEVERITY_INFO, "the daemon is starting", "it was started a moment ago", "nothing", "iicpctl wait ready"},
        {"node.stopping", GROUP_ALONE, SEVERITY_FAIL, "the daemon is stopping", "systemctl stop, or a signal", "nothing", "iicpctl wait stopped"},
        {"route.none", GROUP_ROUTE, SEVERITY_FAIL, "there is no public route: nobody outside can call this node",
         "the router opens no port; detection is still under way; nat.auto = no without an endpoint", "iicpctl netcheck", NETCHECK},
        {"route.port_forward", GROUP_ROUTE, SEVERITY_INFO, "no protocol opens the port at the router",
         "UPnP, PCP and NAT-PMP are off or missing there",
         "forward the task port (TCP) to this machine at the router, the same port on both sides", NETCHECK},
        {"route.router_setting", GROUP_ROUTE, SEVERITY_INFO, "the router can open the port, but refuses this machine",
         "a setting for each device", "allow this device to open ports by itself at the router, then iicpctl redetect", NETCHECK},
        {"route.router_full", GROUP_ROUTE, SEVERITY_INFO, "the router's table of open ports is full",
         "stale entries of other machines", "delete stale entries at the router, or restart it", NETCHECK},
        {"route.cgnat", GROUP_ROUTE, SEVERITY_INFO, "the provider shares one address among customers; no setting here can help",
         "the contract", "a relay is right; or ask the provider for a public IPv4 address, or use IPv6", NETCHECK},
        {"route.double_nat", GROUP_ROUTE, SEVERITY_INFO, "there are two routers in a row", "a router behind the provider's box",
         "bridge mode, or exposed host to the inner router, on the outer one", NETCHECK},
        {"route.ipv6_firewall", GROUP_ROUTE, SEVERITY_INFO, "the router blocks incoming IPv6", "its firewall's default",
         "open a pinhole for the task port (TCP) to this address at the router", NETCHECK},
        {"route.host_firewall", GROUP_ROUTE, SEVERITY_INFO, "the address is public, but this machine drops the call", "ufw, firewalld or nft",
         "open the task port there", NETCHECK},
        {"route.container", GROUP_ROUTE, SEVERITY_INFO, "a container network hides this node", "a bridge network",
         "host network, or publish the port 1:1 and set node.public_endpoint", NETCHECK},
        {"route.set_public_endpoint", GROUP_ROUTE, SEVERITY_INFO, "detection is off or refused and no endpoint is set",
         "nat.auto = no; listen.address is set", "set node.public_endpoint, like http://203.0.113.7:9484", NETCHECK},
        {"route.no_relay", GROUP_RELAY, SEVERITY_INFO, "no relay can be used",
         "the one of relay.worker is down; none is free, or all have a reputation below 0.1; only plain frames are offered",
         "start the relay of relay.worker, or name another; else nothing: it is tried again",
         NETCHECK},
        {"route.tunnel_cooldown", GROUP_ROUTE, SEVERITY_INFO, "the tunnel's provider limits this node", "too many tunnels in a short time",
         "nothing; it is tried again", NETCHECK},
        {"route.tunnel_not_installed", GROUP_ROUTE, SEVERITY_INFO, "the program of the tunnel's provider is missing",
         "it was not installed; its folder is not in PATH", "install it, or turn the tunnel off", NETCHECK},
        {"route.directory_blind_ipv6", GROUP_ROUTE, SEVERITY_INFO, "IPv6 may work, but nobody could look",
         "the directory has no IPv6", "nat.probe_url with a service of yours, or nat.advertise_unverified_ipv6", NETCHECK},
        {"key.overdue", GROUP_REGISTRATION, SEVERITY_WARN, "the encryption key is past its end and the directory has taken no other",
         "the directory did not answer or refused a registration for a week", "iicpctl rotate-key, when the directory answers", STATUS},
        {"operator.not_declared", GROUP_ALONE, SEVERITY_WARN, "something that is configured for the operator is not declared to the directory",
         "the delegation has ended; a file cannot be read; a signature does not fit", "iicpctl operator delegate; iicpctl directory", STATUS},
        {"certificate.expiring", GROUP_ALONE, SEVERITY_WARN, "the TLS certificate ends within two weeks or has ended",
         "it was not renewed; it was renewed and not loaded", "replace it, then iicpctl reload", STATUS},
        {"config.rejected", GROUP_ALONE, SEVERITY_INFO, "the last reload was rejected: the old configuration runs",
         "an error in the file", "iicpd --check-config, then iicpctl reload", "the log has config_reloaded"},
        {"config.changed", GROUP_ALONE, SEVERITY_INFO, "the file was changed after it was read", "it was edited and not loaded",
         "iicpctl config --diff, then iicpctl reload", STATUS},
        {"config.restart_pending", GROUP_ALONE, SEVERITY_INFO, "the file says something that takes effect with a restart only",
         "a key that cannot change live", "systemctl restart iicpd", STATUS},
        {"log.override", GROUP_ALONE, SEVERITY_INFO, "the level of the log is another one than configured",
         "iicpctl log LEVEL", "nothing, or iicpctl log with the configured level", STATUS},
};
const size_t finding_n_kinds = ARRAY_SIZE(finding_kinds);

const struct finding_kind *finding_kind(const char *id) {
        for (size_t i = 0; i < finding_n_kinds; i++)
                if (strcmp(finding_kinds[i].id, id) == 0)
                        return &finding_kinds[i];
        return NULL;
}

const struct finding_kind *finding_kind_of(const char *room, const char *word) {
        char id[96];

        snprintf(id, sizeof id, "%s.%s", room, word);
        return finding_kind(id);
}

enum finding_group finding_group_cause(enum finding_group g) {
        static const enum finding_group causes[GROUP_MAX_] = {
                [GROUP_INTERNET] = GROUP_CLOCK,         [GROUP_DNS] = GROUP_INTERNET,
                [GROUP_DIRECTORY] = GROUP_DNS,          [GROUP_REGISTRATION] = GROUP_DIRECTORY,
                [GROUP_ROUTE] = GROUP_INTERNET,         [GROUP_RELAY] = GROUP_ROUTE,
        };

        return g < GROUP_MAX_ ? causes[g] : GROUP_ALONE;
}

const char *finding_severity_name(enum finding_severity s) {
        return s == SEVERITY_FAIL ? "fail" : s == SEVERITY_WARN ? "warn" : "info";
}
