/* SPDX-License-Identifier: Apache-2.0 */
#include "guidance.h"

#include <string.h>

const struct explain_word explain_guidance[] = {
        {"port_forward", "no protocol opens the port", "forward the task port (TCP) to this machine at the router, the same port on both sides"},
        {"router_setting", "the router can open the port, but refuses this machine",
         "allow this device to open ports by itself at the router (\"UPnP\", \"automatic port sharing\"), then iicpctl redetect"},
        {"router_full", "the router's table is full", "delete stale entries at the router, or restart it"},
        {"cgnat", "the provider shares one address; no setting here can help", "ask the provider for a public IPv4 address, or use IPv6"},
        {"double_nat", "two routers in a row", "bridge mode, or exposed host to the inner router, on the outer one"},
        {"ipv6_firewall", "the router blocks incoming IPv6", "open a pinhole for the task port (TCP) to this address at the router"},
        {"host_firewall", "the address is public, this machine drops the call", "open the task port in ufw, firewalld or nft"},
        {"container", "a container network hides us", "host network, or publish the port 1:1 and set node.public_endpoint"},
        {"no_relay", "no relay can be used: the one of relay.worker is down, or none has room and reputation 0.1 or more, or plain frames only",
         "it is tried again by itself; relay.worker = HOST names one; relay.worker_plaintext = yes takes those that speak in clear"},
        {"set_public_endpoint", "detection is off or refused and no endpoint is set", "set node.public_endpoint, like http://203.0.113.7:9484"},
        {"tunnel_cooldown", "the pace of tunnels on this host, or a limit of their provider, lets us wait", "nothing; it is tried again then"},
        {"tunnel_not_installed", "cloudflared is not installed", "install cloudflared, or set nat.tunnel_program, or nat.tunnel = no"},
        {"directory_blind_ipv6", "IPv6 may work, nobody could look", "nat.probe_url with a service of yours, or nat.advertise_unverified_ipv6"},
};
const size_t explain_n_guidance = sizeof explain_guidance / sizeof explain_guidance[0];

const struct explain_word *guidance_find(const char *code) {
        for (size_t i = 0; i < explain_n_guidance; i++)
                if (strcmp(explain_guidance[i].word, code) == 0)
                        return &explain_guidance[i];
        return NULL;
}
