# SPDX-License-Identifier: Apache-2.0
"""A scripted home gateway: SSDP, IGD (SOAP) and UDP 5351, for what no real router does on demand.

    fake_gateway.py INTERFACE ADDRESS SCRIPT     SCRIPT is JSON; each member is optional:

external     what GetExternalIPAddress says (null: a fault 501)
version      1 or 2 of the IGD (2)
description  malformed | oversize | elsewhere | html | control-elsewhere | silent
add          codes of AddPortMapping and AddAnyPortMapping in turn, the last one repeats; 0 grants
any          codes of AddAnyPortMapping, if others
http         status of every SOAP answer without a body (401: the router wants a login)
taken        {"9484": ["192.168.77.9", 80]}: entries of other devices
hollow       grants, but keeps no entry
permanent    725 unless the lease is 0
delay_s      before each SOAP answer
pinhole      codes of AddPinhole in turn; absent: no firewall service
pinhole_for  the only address that may have one, others get 606
firewall     [FirewallEnabled, InboundPinholeAllowed]
v6           the own IPv6 address: SSDP is answered over IPv6, too
pcp          results of MAP in turn; retry_s: lifetime of errors. Absent: 5351 is silent
pmp          results of NAT-PMP in turn
garbage      datagrams of noise before each answer on 5351

It says "ready", then each question as a line of JSON. A request that breaks a rule of UPnP ends in
the line {"action":"broken",...} and HTTP 400."""

import http.server
import json
import re
import socket
import socketserver
import struct
import sys
import threading
import time

INTERFACE, ADDRESS, SCRIPT = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
PORT = 5000
VERSION = SCRIPT.get("version", 2)
DEVICE = f"urn:schemas-upnp-org:device:InternetGatewayDevice:{VERSION}"
WAN = f"urn:schemas-upnp-org:service:WANIPConnection:{VERSION}"
FIREWALL = "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1"
BEGAN = time.monotonic() - 100  # as if it were up for a while

lock = threading.Lock()
entries = {int(port): tuple(owner) for port, owner in SCRIPT.get("taken", {}).items()}
pinholes = {}


def say(action, **more):
    with lock:
        print(json.dumps({"action": action, **more}), flush=True)


def turn(name, default=0):
    """The next code of a list, the last one for ever."""
    with lock:
        codes = SCRIPT.get(name, [default])
        return codes.pop(0) if len(codes) > 1 else codes[0]


def host_of(address):
    return f"[{address}]" if ":" in address else address


def description(address):
    kind = SCRIPT.get("description")
    if kind == "malformed":
        return "<?xml version='1.0'?><root><device><deviceType>" + DEVICE + "</deviceType><serviceList><service>"
    if kind == "html":
        return "<html><body>Please log in</body></html>"
    control = "http://7.7.7.1:80/ctl" if kind == "control-elsewhere" else "/ctl/wan"
    firewall = "" if "pinhole" not in SCRIPT else f"""
      <service><serviceType>{FIREWALL}</serviceType><serviceId>urn:upnp-org:serviceId:WANIPv6Firewall1</serviceId>
       <SCPDURL>/fw.xml</SCPDURL><controlURL>/ctl/fw</controlURL><eventSubURL>/ev</eventSubURL></service>"""
    text = f"""<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor></specVersion>
<device><deviceType>{DEVICE}</deviceType><friendlyName>Scripted</friendlyName><UDN>uuid:1</UDN>
 <deviceList><device><deviceType>urn:schemas-upnp-org:device:WANDevice:{VERSION}</deviceType><UDN>uuid:2</UDN>
  <serviceList><service><serviceType>urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1</serviceType>
   <serviceId>urn:upnp-org:serviceId:WANCommonIFC1</serviceId><SCPDURL>/c.xml</SCPDURL><controlURL>/ctl/common</controlURL>
   <eventSubURL>/ev</eventSubURL></service></serviceList>
  <deviceList><device><deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:{VERSION}</deviceType><UDN>uuid:3</UDN>
   <serviceList><service><serviceType>{WAN}</serviceType><serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>
    <SCPDURL>/w.xml</SCPDURL><controlURL>{control}</controlURL><eventSubURL>/ev</eventSubURL></service>{firewall}
   </serviceList></device></deviceList></device></deviceList></device></root>"""
    return text + " " * 3_000_000 if kind == "oversize" else text


class Fault(Exception):
    pass


def add_mapping(args, client_address, action):
    port, client, inner = int(args["NewExternalPort"]), args["NewInternalClient"], int(args["NewInternalPort"])
    if args["NewRemoteHost"] != "" or args["NewProtocol"] != "TCP" or args["NewEnabled"] != "1":
        raise Fault(402)
    if client != client_address:
        raise Fault(718)
    if SCRIPT.get("permanent") and args["NewLeaseDuration"] != "0":
        raise Fault(725)
    code = turn("any") if action == "AddAnyPortMapping" and "any" in SCRIPT else turn("add")
    if code:
        raise Fault(code)
    if action == "AddAnyPortMapping":
        while port in entries and entries[port] != (client, inner):
            port += 1
    elif entries.get(port, (client, inner)) != (client, inner):
        raise Fault(718)
    if not SCRIPT.get("hollow"):
        entries[port] = (client, inner)
    return f"<NewReservedPort>{port}</NewReservedPort>" if action == "AddAnyPortMapping" else ""


def delete_mapping(args):
    if entries.pop(int(args["NewExternalPort"]), None) is None:
        raise Fault(714)
    return ""


def entry(args):
    owner = entries.get(int(args["NewExternalPort"]))
    if owner is None:
        raise Fault(714)
    lease = 0 if SCRIPT.get("permanent") else 3600
    return (f"<NewInternalPort>{owner[1]}</NewInternalPort><NewInternalClient>{owner[0]}</NewInternalClient>"
            f"<NewEnabled>1</NewEnabled><NewPortMappingDescription>x</NewPortMappingDescription>"
            f"<NewLeaseDuration>{lease}</NewLeaseDuration>")


def external(args):
    if SCRIPT.get("external", "") is None:
        raise Fault(501)
    return f"<NewExternalIPAddress>{SCRIPT.get('external', '7.7.7.10')}</NewExternalIPAddress>"


def add_pinhole(args, client_address):
    code = turn("pinhole")
    if SCRIPT.get("pinhole_for") and args["InternalClient"] != SCRIPT["pinhole_for"]:
        code = 606
    if not SCRIPT.get("pinhole_over_v4") and client_address != args["InternalClient"]:
        code = 606
    if code:
        raise Fault(code)
    pinholes[args["InternalClient"]] = len(pinholes) + 1
    return f"<UniqueID>{pinholes[args['InternalClient']]}</UniqueID>"


def answer(action, args, client):
    enabled, allowed = SCRIPT.get("firewall", [1, 1])
    if action in ("AddPortMapping", "AddAnyPortMapping"):
        if action == "AddAnyPortMapping" and VERSION == 1:
            raise Fault(401)
        return add_mapping(args, client, action)
    simple = {
        "DeletePortMapping": lambda: delete_mapping(args), "GetSpecificPortMappingEntry": lambda: entry(args),
        "GetExternalIPAddress": lambda: external(args), "AddPinhole": lambda: add_pinhole(args, client),
        "GetStatusInfo": lambda: "<NewConnectionStatus>Connected</NewConnectionStatus><NewLastConnectionError>ERROR_NONE"
                                 "</NewLastConnectionError><NewUptime>9</NewUptime>",
        "GetFirewallStatus": lambda: f"<FirewallEnabled>{enabled}</FirewallEnabled><InboundPinholeAllowed>{allowed}"
                                     "</InboundPinholeAllowed>",
        "DeletePinhole": lambda: "", "UpdatePinhole": lambda: "",
    }
    if action not in simple:
        raise Fault(401)
    return simple[action]()


class Gateway(http.server.BaseHTTPRequestHandler):
    def reply(self, status, body=b"", kind="text/xml"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def do_GET(self):
        say("describe", path=self.path, client=self.client_address[0])
        self.reply(200, description(ADDRESS).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        soap = re.fullmatch(r'"([^"#]+)#(\w+)"', self.headers.get("SOAPAction", ""))
        if not soap or f"<u:{soap.group(2)} " not in body or soap.group(1) not in body:
            say("broken", body=body)
            self.reply(400)
            return
        service, action = soap.groups()
        args = dict(re.findall(r"<(\w+)>([^<]*)</\1>", body))
        client = self.client_address[0].removeprefix("::ffff:")
        time.sleep(SCRIPT.get("delay_s", 0))
        code, inner = SCRIPT.get("http", 200), ""
        if code == 200:
            try:
                inner = answer(action, args, client)
            except Fault as fault:
                code = fault.args[0]
        say(action, code=code, client=client, **{k: v for k, v in args.items() if k != "action"})
        if "http" in SCRIPT:
            self.reply(SCRIPT["http"], b"")
        elif code == 200:
            self.reply(200, f"""<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>
<u:{action}Response xmlns:u="{service}">{inner}</u:{action}Response></s:Body></s:Envelope>""".encode())
        else:
            self.reply(500, f"""<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>
<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>
<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>{code}</errorCode><errorDescription>scripted</errorDescription>
</UPnPError></detail></s:Fault></s:Body></s:Envelope>""".encode())

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True


def served(target):
    """A gateway answers for each version up to its own."""
    kind, _, version = target.rpartition(":")
    return target in ("ssdp:all", "upnp:rootdevice") or (kind == DEVICE[:-2] and int(version) <= VERSION)


def ssdp(sock, address):
    while True:
        data, peer = sock.recvfrom(2000)
        search = re.search(rb"^ST: *(\S+)", data, re.M | re.I)
        if not data.startswith(b"M-SEARCH") or not search:
            continue
        target = search.group(1).decode()
        say("search", st=target, client=peer[0])
        if SCRIPT.get("description") == "silent" or not served(target):
            continue
        where = "http://7.7.7.1:80" if SCRIPT.get("description") == "elsewhere" else f"http://{host_of(address)}:{PORT}"
        sock.sendto((f"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: {target}\r\nUSN: uuid:1::{target}\r\nEXT:\r\n"
                     f"SERVER: scripted\r\nLOCATION: {where}/root.xml\r\n\r\n").encode(), peer)


def pmp_answer(data):
    op = data[1]
    result = turn("pmp")
    epoch = int(time.monotonic() - BEGAN)
    if op == 0:
        return struct.pack("!BBHI4s", 0, 128, result, epoch, socket.inet_aton(SCRIPT.get("external") or "0.0.0.0"))
    _, inner, outer, lifetime = struct.unpack("!HHHI", data[2:12])
    return struct.pack("!BBHIHHI", 0, 128 + op, result, epoch, inner, 0 if result else outer, lifetime)


def pcp_answer(data):
    result = turn("pcp")
    lifetime = SCRIPT.get("retry_s", 30) if result else struct.unpack("!I", data[4:8])[0]
    head = struct.pack("!BBBBII12x", 2, 0x81, 0, result, lifetime, int(time.monotonic() - BEGAN))
    outside = b"\0" * 10 + b"\xff\xff" + socket.inet_aton(SCRIPT.get("external") or "0.0.0.0")
    return head + data[24:36] + data[36:44] + outside


def port_5351(sock):
    while True:
        data, peer = sock.recvfrom(2000)
        version = data[0] if data else None
        say("5351", version=version, op=data[1] if len(data) > 1 else None, client=peer[0])
        for _ in range(SCRIPT.get("garbage", 0)):
            sock.sendto(bytes([2, 0x81]) + b"\xff" * 70, peer)
        if version == 0 and "pmp" in SCRIPT:
            sock.sendto(pmp_answer(data), peer)
        elif version == 2 and "pcp" in SCRIPT:
            sock.sendto(pcp_answer(data), peer)
        elif version == 2 and "pmp" in SCRIPT:
            sock.sendto(struct.pack("!BBHI", 0, 128, 1, int(time.monotonic() - BEGAN)), peer)


def udp(family, port):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind(("", port))
    return s


def begin(fn, *args):
    threading.Thread(target=fn, args=args, daemon=True).start()


index = socket.if_nametoindex(INTERFACE)
four = udp(socket.AF_INET, 1900)
four.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                struct.pack("4s4si", socket.inet_aton("239.255.255.250"), socket.inet_aton("0.0.0.0"), index))
begin(ssdp, four, ADDRESS)
if "v6" in SCRIPT:
    six = udp(socket.AF_INET6, 1900)
    for group in ("ff02::c", "ff05::c", "ff08::c"):
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, group) + struct.pack("i", index))
    begin(ssdp, six, SCRIPT["v6"])
begin(port_5351, udp(socket.AF_INET, 5351))
server = Server(("::", PORT), Gateway)
print("ready", flush=True)
server.serve_forever()
