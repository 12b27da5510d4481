/* SPDX-License-Identifier: Apache-2.0 */
#include "control/internal.h"

/* Style and script of the page: in the program, nothing from outside. */

static const char css[] =
        ":root{--bg:#fff;--fg:#1b1f24;--dim:#57606a;--line:#8c959f;--ok:#116329;--warn:#7d4e00;--bad:#a40e26;--box:#f3f5f7}\n"
        "@media(prefers-color-scheme:dark){:root{--bg:#14181d;--fg:#e6edf3;--dim:#9fabb7;--line:#6e7781;--ok:#5fd381;"
        "--warn:#e3b341;--bad:#ff8d85;--box:#1f252c}}\n"
        "*{box-sizing:border-box}body{margin:0 auto;padding:1rem;max-width:72rem;background:var(--bg);color:var(--fg);"
        "font:1rem/1.45 system-ui,sans-serif;overflow-wrap:anywhere}\n"
        "h1{margin:0;font-size:1.5rem}h2{margin:0 0 .5rem;font-size:1.1rem}header p{margin:.2rem 0;overflow-wrap:anywhere}"
        "#age,footer,caption{color:var(--dim)}\n"
        "main{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));margin:1rem 0}"
        "section{background:var(--box);padding:.8rem;border-radius:.4rem;min-width:0}"
        "#findings,#picture,#tasks,#events{grid-column:1/-1}\n"
        ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%}caption{text-align:left}"
        "th,td{text-align:left;padding:.15rem .6rem .15rem 0;vertical-align:top;overflow-wrap:normal}"
        "thead th{border-bottom:1px solid var(--line)}\n"
        ".ok{color:var(--ok)}.warn{color:var(--warn)}.bad{color:var(--bad)}code{overflow-wrap:anywhere}"
        "a{color:inherit}a:focus-visible{outline:2px solid currentColor;outline-offset:2px}ul{margin:0;padding-left:1.2rem}\n"
        "svg{width:100%;height:auto;max-height:20rem}svg text{fill:var(--fg);font-size:14px}.edge{fill:none;stroke-width:2}"
        ".edge.on{stroke:var(--ok)}.edge.off{stroke:var(--line);stroke-dasharray:3 5}.slot{stroke:var(--line)}"
        ".slot.free{fill:none}.slot.busy{fill:var(--ok)}.dot{fill:var(--ok)}\n";

/* Asks for the page again when something has happened, and puts what has changed where it was. */
static const char js[] =
        "'use strict';(()=>{\n"
        "const live=()=>document.getElementById('live');let last=0,wait=null,source=null;\n"
        "const still=matchMedia('(prefers-reduced-motion: reduce)');\n"
        "async function again(){wait=null;if(document.hidden)return;try{\n"
        " const r=await fetch('./',{cache:'no-store'});if(!r.ok)throw 0;\n"
        " const doc=new DOMParser().parseFromString(await r.text(),'text/html');\n"
        " for(const part of doc.querySelectorAll('main>section,#state,#age')){const old=document.getElementById(part.id);\n"
        "  if(!old)continue;if(part.id==='age')part.querySelector('#live').textContent='live';\n"
        "  if(old.innerHTML!==part.innerHTML&&!old.contains(document.activeElement))old.replaceChildren(...part.childNodes);}\n"
        " last=Date.now();}catch{stale()}}\n"
        "function soon(){if(!wait)wait=setTimeout(again,250)}\n"
        "function stale(){const l=live();if(l)l.textContent=last?'not live, '+Math.round((Date.now()-last)/1000)+' s':'not live'}\n"
        "function dot(){if(still.matches||document.hidden)return;const svg=document.querySelector('#picture svg');if(!svg)return;\n"
        " const c=document.createElementNS(svg.namespaceURI,'circle');c.setAttribute('class','dot');c.setAttribute('r','5');\n"
        " c.setAttribute('cx','70');c.setAttribute('cy','40');svg.append(c);\n"
        " c.animate([{transform:'translateX(0)'},{transform:'translateX(390px)'}],900).finished.finally(()=>c.remove());}\n"
        "function open(){if(source||document.hidden)return;source=new EventSource('v1/events?tasks=1');\n"
        " source.onopen=soon;source.onerror=()=>{stale();if(source.readyState===2){source=null;setTimeout(open,3000)}};\n"
        " for(const n of ['task_started'])source.addEventListener(n,()=>{dot();soon()});\n"
        " for(const n of ['task_ended','state_changed','control_action','drain_start','drain_done','config_reloaded','config_rejected',\n"
        "  'register_ok','register_fail','reregister_ok','reregister_fail','heartbeat_fail','directory_back','route_up','route_lost','route_none',\n"
        "  'backend_up','backend_down','backend_auth','backend_draining','models_changed','request_done','lagged'])source.addEventListener(n,soon);}\n"
        "document.addEventListener('visibilitychange',()=>{if(document.hidden){if(source)source.close();source=null}else open()});\n"
        "setInterval(()=>{if(source&&source.readyState===1)soon();else stale()},5000);open();\n"
        "})();\n";

unsigned get_page_css(struct call *call, struct iicp_buf *out) {
        (void) call;
        iicp_buf_puts(out, css);
        return 200;
}

unsigned get_page_icon(struct call *call, struct iicp_buf *out) {
        (void) call;
        iicp_buf_puts(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\"><circle cx=\"8\" cy=\"8\" r=\"6\" "
                           "fill=\"#2da44e\"/></svg>\n");
        return 200;
}

unsigned get_page_js(struct call *call, struct iicp_buf *out) {
        (void) call;
        iicp_buf_puts(out, js);
        return 200;
}
