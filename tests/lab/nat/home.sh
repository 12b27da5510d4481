#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A home network in name spaces, no uplink: host, host2 -- lan0 [rtr] wan0 -- i0 [inet].
#   home.sh up PREFIX [home|cgnat|double]     name spaces PREFIX_inet, PREFIX_rtr, PREFIX_host, PREFIX_host2
#   home.sh down PREFIX
# cgnat, double: another NAT, PREFIX_cgn with 7.7.7.20 outside, between the router (100.64.5.2 or 10.9.0.2) and
# the Internet; IPv4 only.
# Addresses are public ones (routers and nodes refuse documentation ranges); nothing leaves the machine.
set -eu
p=$2
kind=${3:-home}
if [ "$1" = down ]; then
        for n in host host2 rtr cgn inet; do ip netns del "${p}_$n" 2>/dev/null || true; done
        exit 0
fi
for n in inet rtr host host2; do
        ip netns add "${p}_$n"
        ip -n "${p}_$n" link set lo up
        ip netns exec "${p}_$n" sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0
done
case $kind in
home) wan=7.7.7.10/24 up=7.7.7.1 ;;
cgnat) wan=100.64.5.2/24 up=100.64.5.1 ;;
double) wan=10.9.0.2/24 up=10.9.0.1 ;;
esac
if [ "$kind" = home ]; then
        ip link add wan0 netns "${p}_rtr" type veth peer name i0 netns "${p}_inet"
else
        ip netns add "${p}_cgn"
        ip -n "${p}_cgn" link set lo up
        ip link add wan0 netns "${p}_rtr" type veth peer name in0 netns "${p}_cgn"
        ip link add out0 netns "${p}_cgn" type veth peer name i0 netns "${p}_inet"
        ip -n "${p}_cgn" addr add "$up/24" dev in0
        ip -n "${p}_cgn" addr add 7.7.7.20/24 dev out0
        ip -n "${p}_cgn" link set in0 up
        ip -n "${p}_cgn" link set out0 up
        ip -n "${p}_cgn" route add default via 7.7.7.1
        ip netns exec "${p}_cgn" sysctl -qw net.ipv4.ip_forward=1
        ip netns exec "${p}_cgn" nft -f - <<'N'
table inet filter {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "in0" oifname "out0" accept
    ct status dnat accept
  }
  chain prerouting { type nat hook prerouting priority -100; policy accept;
  }
  chain postrouting { type nat hook postrouting priority 100; policy accept;
    oifname "out0" masquerade
  }
}
N
fi
ip -n "${p}_rtr" link add lan0 type bridge forward_delay 0 mcast_snooping 0
# eth0 is a macvlan on the cable: a veth with a private address would look like a container's
for h in host:p1 host2:p2; do
        ip link add "${h#*:}" netns "${p}_rtr" type veth peer name cable netns "${p}_${h%:*}"
        ip -n "${p}_${h%:*}" link set cable up
        ip -n "${p}_${h%:*}" link add link cable name eth0 type macvlan mode bridge
done
for i in p1 p2; do
        ip -n "${p}_rtr" link set $i master lan0
        ip -n "${p}_rtr" link set $i up
done
ip -n "${p}_inet" addr add 7.7.7.1/24 dev i0
ip -n "${p}_inet" link set i0 up
ip -n "${p}_inet" addr add 8.8.4.4/32 dev lo
ip -n "${p}_rtr" addr add "$wan" dev wan0
ip -n "${p}_rtr" link set wan0 up
ip -n "${p}_rtr" addr add 192.168.77.1/24 dev lan0
ip -n "${p}_rtr" link set lan0 up
ip -n "${p}_rtr" route add default via "$up"
for h in host:2 host2:3; do
        n=${p}_${h%:*}
        k=${h#*:}
        ip -n "$n" addr add "192.168.77.$k/24" dev eth0
        ip -n "$n" link set eth0 up
        ip -n "$n" route add default via 192.168.77.1
        ip -n "$n" -6 addr add "2a10:aaaa:0:77::$k/64" dev eth0 nodad
done
ip -n "${p}_inet" -6 addr add 2a10:aaaa:0:1::1/64 dev i0 nodad
ip -n "${p}_rtr" -6 addr add 2a10:aaaa:0:1::10/64 dev wan0 nodad
ip -n "${p}_rtr" -6 addr add 2a10:aaaa:0:77::1/64 dev lan0 nodad
ip -n "${p}_inet" -6 route add 2a10:aaaa:0:77::/64 via 2a10:aaaa:0:1::10
ip -n "${p}_rtr" -6 route add default via 2a10:aaaa:0:1::1
for n in host host2; do ip -n "${p}_$n" -6 route add default via 2a10:aaaa:0:77::1; done
ip netns exec "${p}_rtr" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip netns exec "${p}_rtr" nft -f - <<'N'
table inet filter {
  chain miniupnpd { }
  chain input {
    type filter hook input priority 0; policy accept;
    iifname "wan0" ct state established,related accept
    iifname "wan0" meta l4proto { icmp, ipv6-icmp } accept
    iifname "wan0" drop
  }
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "lan0" oifname "wan0" accept
    meta l4proto { icmp, ipv6-icmp } accept
    jump miniupnpd
  }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
  chain prerouting { type nat hook prerouting priority -100; policy accept; jump prerouting_miniupnpd
  }
  chain postrouting { type nat hook postrouting priority 100; policy accept
    jump postrouting_miniupnpd
    meta nfproto ipv4 oifname "wan0" masquerade
  }
}
N
