"""Pages: what a person sees, that it is inert, and that it works under any prefix."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from bot.errors import StoreError
from bot.incidents.incident import State
from bot.incidents.timeline import TimelineEntry
from bot.reports.story import EvidenceSummary, Sibling
from bot.web.parts import Coverage, HealthReport, PartHealth
from rancher_ext.fleet.cluster import ClusterKey
from tests.bot.reports.stories import BR_NETFILTER, NO_CNI_CONF, NOW, a_diagnosis, a_plan, a_step, a_story, an_incident
from tests.bot.web.serving import Facts, Web, a_seen_cluster, running

FIRST = "/incidents/incident:default:uid-0:1"


class Page(HTMLParser):
    """Elements and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))

    @property
    def links(self) -> list[str]:
        return [
            value
            for _, attrs in self.elements
            for name in ("href", "src", "action", "data-events")
            if (value := attrs.get(name)) is not None
        ]

    def rows(self) -> list[str]:
        return [
            attrs.get("class") or ""
            for tag, attrs in self.elements
            if tag == "tr" and "v-" in (attrs.get("class") or "")
        ]


def page(web: Web, path: str, status: int = 200) -> Page:
    answer = web.get(path, headers={"Accept": "text/html,*/*"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Page(answer.text)


def test_the_fleet_shows_numbers_first_and_the_worst_first(web: Web):
    shown = page(web, "/")
    assert "4 Stuck 1 Unknown 1 Slow 113 Healthy 1 Not watched 1 Waits for approval 0 Being mended" in shown.text
    assert shown.rows()[:7] == ["v-stuck"] * 4 + ["v-unknown", "v-progressing", "v-healthy"]
    assert (
        "edge-07 c-edge-07 Stuck 41m RKE1 v1.32.2-rancher1-1 Canal 0/3 Waiting for API to be available waits for approval #12"
        in shown.text
    )
    assert "148 of 148 clusters seen 40 s ago · watching Rancher" in shown.text
    assert "judged in 4m" in shown.text


def test_the_filter_works_by_address_alone(web: Web):
    assert len(page(web, "/?verdict=stuck").rows()) == 4
    assert len(page(web, "/?q=EDGE+c-edge-09").rows()) == 1
    assert len(page(web, "/?q=agent&verdict=progressing&cni=canal").rows()) == 1
    assert "None of the 120 clusters matches this filter" in page(web, "/?q=nothing-like-it").text


def test_a_thousand_clusters_come_in_pages_that_keep_the_filter():
    facts = Facts(clusters=[a_seen_cluster(f"shop-{number:04}") for number in range(1_000)])
    with running(facts.parts(), facts) as web:
        first = page(web, "/?q=shop")
        assert len(first.rows()) == 100
        assert "Page 1 of 10" in first.text
        assert "./?q=shop&page=2" in first.links
        last = page(web, "/?q=shop&page=10")
        assert "901 to 1000" in last.text
        assert "shop-0999" in last.text
        for odd in ("0", "-1", "11", "99999999999", "x", "%00", "²"):
            assert "Page " in page(web, f"/?q=shop&page={odd}").text


def test_an_empty_fleet_explains_itself():
    facts = Facts(covered=Coverage())
    with running(facts.parts(), facts) as web:
        assert "The first sweep has not finished" in page(web, "/").text
        facts.covered = Coverage(seen=0, total=0, swept_at=NOW, watch_connected=False)
        shown = page(web, "/").text
        assert "found none" in shown
        assert "the watch on Rancher is not connected" in shown
        assert "Nothing is open" in page(web, "/incidents").text


def test_a_part_that_fails_is_named_on_the_first_page(web: Web, facts: Facts):
    facts.report = HealthReport(
        alive=True, ready=False, parts=(PartHealth("github", ok=False, reason="401 Bad credentials"),)
    )
    assert "Drover itself is not well: github: 401 Bad credentials" in page(web, "/").text


def test_a_cluster_has_a_page_with_its_incidents(web: Web):
    shown = page(web, "/clusters/c-edge-07?rancher=default").text
    assert "edge-07 Stuck" in shown
    assert "0 of 3 Ready" in shown
    assert "waits for approval" in shown
    assert "not connected" in shown
    assert "edge-07 Stuck" in page(web, "/clusters/c-edge-07").text


def test_the_same_id_on_two_ranchers_is_two_clusters():
    one = a_seen_cluster("a")
    two = replace(one, key=ClusterKey("other", one.key.id), name="b")
    facts = Facts(clusters=[one, two])
    with running(facts.parts(), facts) as web:
        assert "clusters/c-a?rancher=other" in " ".join(page(web, "/").links)
        assert "b Healthy" in page(web, "/clusters/c-a?rancher=other").text


def test_an_incident_tells_its_whole_story(web: Web):
    shown = page(web, FIRST).text
    for part in (
        "edge-07 waits for approval",
        "Flannel stops because the kernel module br_netfilter is not loaded. 98% sure",
        f"/drover approve {a_plan().short}",
        "Needs one approval by somebody with the role write or higher",
        "+ enableBrNetfilter: true",
        "Canal ready on 3 of 3 nodes",
        "logs/kube-system/canal-7hx2p/kube-flannel.log , line 14",
        "Failed to check br_netfilter",
        "2025-03-04 09:42:08 Seen stuck by sweep",
        "14 files, 212 431 bytes, 9 values masked.",
        "needs pods/log in cattle-system",
        "Every write and every intention to write",
        "about to write",
    ):
        assert part in shown


def test_what_the_evidence_tells_beyond_the_cause_is_shown():
    """Which nodes, what else it may be, what speaks against it, and what happened when."""
    finding = {
        **BR_NETFILTER,
        "affected": {"known": 5, "text": "all 3 el10 nodes, none elsewhere"},
        "against": [{"source": "nodes.txt", "line": 7, "text": "edge-07-a   Ready"}],
    }
    rival = {**NO_CNI_CONF, "explainedBy": None}
    diagnosis = a_diagnosis(
        finding,
        rival,
        undecided={"signatures": [finding["signature"], rival["signature"]], "why": "both rest on the same lines"},
        timeline=[
            {"when": "2025-03-04 09:11:31 UTC", "text": "kubelet on w1: no network", "alike": 2},
            {"when": "Mar 04 09:12:00", "text": "cluster: Waiting is Unknown", "alike": 0},
        ],
    )
    facts = Facts()
    facts.add(a_story(an_incident(id="incident:default:x:1"), diagnosis=diagnosis))
    plain = a_story(an_incident(id="incident:default:y:1"), diagnosis=a_diagnosis(BR_NETFILTER))
    facts.add(plain)
    with running(facts.parts(), facts) as web:
        shown = page(web, "/incidents/incident:default:x:1").text
        for part in (
            "Where: all 3 el10 nodes, none elsewhere.",
            "What speaks against it:",
            "edge-07-a Ready",
            "Not decided. It may also be: The container runtime of a node has no CNI configuration (90% sure)",
            "does not tell which: both rest on the same lines.",
            "What happened when",
            "2025-03-04 09:11:31 UTC kubelet on w1: no network (and 2 alike)",
        ):
            assert part in shown
        other = page(web, "/incidents/incident:default:y:1").text
        for part in ("Where:", "Not decided.", "What happened when", "What speaks against it"):
            assert part not in other


def test_the_plan_and_the_record_are_shown_in_full(web: Web, facts: Facts):
    facts.records = [replace(facts.records[0], before={"present": False}, after={"value": "<b>" + "x" * 9_000})]
    facts.add(
        replace(
            facts.stories[FIRST.removeprefix("/incidents/")],
            plan=a_plan(done=(("take-etcd-snapshot", "there is one"),)),
        )
    )
    found = page(web, FIRST)
    assert "usually done in 6 min · playbook enable-br-netfilter" in found.text
    assert "take-etcd-snapshot has nothing to do: there is one" in found.text
    assert '{ "present": false }' in found.text
    assert "more characters: drover incidents audit has them all" in found.text.replace("`", "")
    assert "x" * 9_000 not in found.text


def test_an_explanation_shows_the_steps_for_a_person(web: Web, facts: Facts):
    identifier = next(i for i, story in facts.stories.items() if story.explanation)
    shown = page(web, f"/incidents/{identifier}").text
    assert "What a person does" in shown
    assert "modprobe br_netfilter" in shown
    assert "/drover approve" not in shown


def test_every_state_and_verdict_has_a_page(web: Web, facts: Facts):
    for number, state in enumerate(State):
        for verdict in ("cni-failure", "other-failure", "unknown", "healthy", ""):
            identifier = f"incident:default:s{number}-{verdict}:1"
            diagnosis = a_diagnosis(BR_NETFILTER, verdict=verdict) if verdict else None
            facts.add(a_story(an_incident(id=identifier, state=state), diagnosis=diagnosis))
            page(web, f"/incidents/{identifier}")
    page(web, "/incidents")


def test_the_list_has_the_open_ones_first(web: Web):
    shown = page(web, "/incidents").text
    assert "4 are open" in shown
    assert "One is over" in shown
    assert "cause unknown" in shown


@pytest.mark.parametrize(
    "path", ["/", "/?page=2", "/incidents", "/clusters/c-edge-07", FIRST, "/incidents/none", "/incidents/a%2Fb"]
)
def test_links_are_relative_and_lead_back_to_the_root(web: Web, path: str):
    """The pages may stand under Rancher's proxy prefix."""
    shown = page(web, path, 404 if path in {"/incidents/none", "/incidents/a%2Fb"} else 200)
    ours = [each for each in shown.links if not each.startswith("https://")]
    up = "../" if path.count("/") > 1 else "./"
    assert f"{up}static/drover.css" in ours
    assert all(each.startswith((up, "#")) for each in ours)


def test_every_link_of_every_page_leads_somewhere(web: Web):
    seen: set[str] = set()
    todo = ["/"]
    while todo and len(seen) < 60:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = web.get(path, headers={"Accept": "text/html"}, stream=True)
        assert answer.status_code == 200, path
        if "text/html" in answer.headers["content-type"]:
            base = path.partition("?")[0].rpartition("/")[0]
            for link in Page(answer.text).links:
                if link.startswith("./"):
                    todo.append(f"{base}/{link[2:]}")
                elif link.startswith("../"):
                    todo.append(f"{base.rpartition('/')[0]}/{link[3:]}")
        answer.close()


NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7*7 }}",
    "javascript:alert(1)",
    "'`</pre></td>&amp;",
]


@pytest.mark.parametrize("text", NASTY)
def test_nothing_from_a_cluster_becomes_markup(text: str):
    finding = {
        **BR_NETFILTER,
        **dict.fromkeys(("signature", "cause", "title", "because", "advice", "explainedBy"), text),
        "evidence": [{"source": text, "line": 1, "text": text}],
        "missing": [text],
        "references": [text],
        "affected": {"known": 3, "text": text},
        "against": [{"source": text, "line": 2, "text": text}],
    }
    incident = an_incident(
        id="incident:default:nasty:1", cluster_name=text, reason=text, distribution=text, cni=text, kubernetes=text, driver=text,
        outcome=text, issue_url=text,
    )  # fmt: skip
    story = a_story(
        replace(incident, diagnosis=a_diagnosis(finding)),
        diagnosis=a_diagnosis(
            finding,
            finding,
            undecided={"signatures": [text], "why": text},
            timeline=[{"when": text, "text": text, "alike": 1}] * 2,
        ),
        timeline=[TimelineEntry(NOW, text, text)],
        plan=a_plan(a_step(title=text, diff=text, effect=text), title=text, proof=(text,)),
        decision={"decision": "wait", "reasons": [text]},
        siblings=[Sibling(text, 3, text)],
        evidence=EvidenceSummary(1, 1, 1, [{"name": text, "status": text, "reason": text}], [(text, text)]),
    )
    facts = Facts(
        clusters=[a_seen_cluster("x", "stuck", **dict.fromkeys(("reason", "kubernetes", "cni", "distribution"), text))]
    )
    facts.clusters[0] = replace(facts.clusters[0], name=text, key=ClusterKey(text, "c-x"))
    facts.add(
        story,
        replace(
            story,
            plan=None,
            explanation={"title": text, "why": text, "steps": [text]},
            incident=replace(story.incident, id="incident:default:nasty:2"),
        ),
    )
    with running(facts.parts(), facts) as web:
        for path in (
            "/",
            "/?q=" + text.replace("&", "%26").replace("#", ""),
            "/clusters/c-x",
            "/incidents",
            "/incidents/incident:default:nasty:1",
            "/incidents/incident:default:nasty:2",
        ):
            shown = page(web, path)
            scripts = [attrs.get("src") for tag, attrs in shown.elements if tag == "script"]
            assert [each for each in scripts if each and each.endswith("static/live.js")] == scripts
            assert [attrs["src"] for tag, attrs in shown.elements if tag == "img"] == [
                scripts[0].replace("live.js", "favicon.svg")
            ]
            assert not [attrs for _, attrs in shown.elements if any(name.startswith("on") for name in attrs)]
            assert not [link for link in shown.links if link.lower().startswith("javascript:")]
            assert "style" not in {name for _, attrs in shown.elements for name in attrs}


def test_pages_forbid_what_they_do_not_need(web: Web):
    for path in ("/", "/nothing", "/api/v1/clusters", "/healthz", "/static/live.js"):
        headers = web.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'self'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    assert web.get("/").headers["cache-control"] == "no-store"


def test_static_files_are_ours_alone_and_known_by_their_tag(web: Web):
    answer = web.get("/static/drover.css")
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert web.get("/static/drover.css", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    for name in ("..%2Fserver.py", "%2e%2e/server.py", "live.js%00", "", "assets.py"):
        assert web.get(f"/static/{name}").status_code == 404


def test_pages_have_what_readers_of_screens_need(web: Web):
    for path in ("/", "/incidents", "/clusters/c-edge-07", FIRST):
        answer = web.get(path)
        shown = Page(answer.text)
        tags = [tag for tag, _ in shown.elements]
        assert tags.count("h1") == tags.count("main") == 1
        assert ("html", {"lang": "en"}) in shown.elements
        assert all(attrs.get("scope") for tag, attrs in shown.elements if tag == "th")
        named = {attrs.get("for") for tag, attrs in shown.elements if tag == "label"}
        assert {attrs["id"] for tag, attrs in shown.elements if tag in {"input", "select"}} <= named
        ids = [attrs["id"] for _, attrs in shown.elements if "id" in attrs]
        assert len(ids) == len(set(ids))


def test_what_is_not_there_is_told_as_a_page_to_people_and_as_json_to_programs(web: Web):
    assert "There is no such incident." in page(web, "/incidents/nobody", 404).text
    assert "No cluster of this id was seen" in page(web, "/clusters/c-none", 404).text
    answer = web.get("/incidents/nobody")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "There is no such incident."


def test_a_store_that_fails_is_a_503_with_its_reason(web: Web, facts: Facts):
    facts.failure = StoreError("the database failed", cure="Check that it runs.")
    answer = web.get("/")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "the database failed"
