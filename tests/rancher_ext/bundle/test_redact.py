"""No secret leaves, and everything else stays as it was."""

import base64
import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.bundle.bundle import Bundle, Manifest
from rancher_ext.bundle.redact import RedactionRules, Redactor, Rule, counts_by_rule, redact_bundle
from rancher_ext.catalogue.redaction import load_redaction

RULES = load_redaction()


def a_redactor(key=b"0" * 32):
    return Redactor(RULES, key)


SECRET = st.text(alphabet=string.ascii_letters + string.digits + "+/._~!@#%^*-", min_size=12, max_size=60).filter(
    lambda s: s[0].isalnum() and any(c.isdigit() for c in s) and any(c.isalpha() for c in s)
)
LOWER = st.text(alphabet="bcdfghjklmnpqrstvwxz2456789", min_size=54, max_size=54)

# Every place in which a secret was seen in logs and objects of real clusters.
PLACES = [
    "password: {}",
    "  - password: '{}'",
    'DB_PASSWORD="{}"',
    "CATTLE_TOKEN={} CATTLE_SERVER=https://rancher.example",
    '{{"user": "x", "clientSecret": "{}", "n": 1}}',
    'msg="request {{\\"token\\":\\"{}\\"}} failed"',
    "INFO: Arguments: --server https://rancher.example --token {} -r -n m-x7k2q",
    "--password={} --other",
    "s3: {{access-key: {}, bucket: b}}",
    "https://rancher.example/v3/import?token={}",
    "Authorization: Bearer {}",
    "client-key-data: {}",
    "AWS_SECRET_ACCESS_KEY={}",
    "E0301 10:08:40.33 main.go:1] login failed password: {}",
]


@given(
    SECRET, st.sampled_from(PLACES), st.lists(st.sampled_from(["plain line", "", "I0301 main.go:211] ok"]), max_size=4)
)
def test_a_planted_secret_never_survives_and_lines_stay_lines(secret, place, around):
    line = place.format(secret)
    text = "\n".join([*around, line, *around])

    masked = a_redactor().text(text, "x.log")

    assert secret not in masked
    assert masked.count("\n") == text.count("\n")
    assert [a for a in masked.split("\n") if "masked" not in a] == [*around, *around]


@given(
    LOWER,
    st.sampled_from(
        ["{}", "token-x7k2q:{}", "https://r.example/v3/import/{}_c-m-8jq5fz7k.yaml", "kubeconfig-u-abcde:{}"]
    ),
)
def test_rancher_tokens_are_known_by_their_looks(secret, place):
    assert secret not in a_redactor().text(f"seen {place.format(secret)} here")


@given(st.text(alphabet=string.ascii_letters + string.digits, min_size=10, max_size=40))
def test_other_secrets_with_a_face(secret):
    digest = "0123456789abcdef" * 4
    texts = [
        f"join with K10{digest}::server:{secret}",
        f"https://user:{secret}@registry.example/v2/",
        f"eyJhbGciOiJSUzI1NiJ9.eyJ{secret}.{secret}",
        f"ghp_{secret}{secret}",
    ]
    for text in texts:
        assert secret not in a_redactor().text(text).replace("user", ""), text


def test_the_same_secret_has_the_same_pseudonym_in_one_bundle_and_another_in_the_next():
    one, other = a_redactor(), a_redactor(b"1" * 32)

    first, second = one.text("password: hunter2"), one.text("  password: hunter2", "elsewhere")

    assert first.split()[-1] == second.split()[-1]
    assert first != other.text("password: hunter2")
    assert first != one.text("password: hunter3")


def test_masking_twice_changes_nothing():
    once = a_redactor().text("password: hunter2\nAuthorization: Bearer abcdefgh12345\nhttps://u:pw1234@h/")

    assert a_redactor().text(once) == once


@pytest.mark.parametrize(
    "line",
    [
        'error=Post "https://10.8.0.1:443/api/v1/namespaces/kube-system/serviceaccounts/canal/token": dial tcp 10.8.0.1:443: i/o timeout',
        'serviceaccounts "canal" is forbidden: User "x" cannot create resource "serviceaccounts/token" in API group ""',
        'MountVolume.SetUp failed for volume "k" : failed to fetch token: serviceaccounts "canal" is forbidden',
        'E0502 main.go:232] Failed to create SubnetManager: error retrieving pod spec for "kube-system/x": dial tcp 10.43.0.1:443',
        "Error getting token: connection refused",
        "secretName: rke2-canal-tls",
        "tokenTTL: 3600",
        "automountServiceAccountToken: false",
        "INFO: Arguments: --token <redacted> --ca-checksum 4b7e19c0",
        "Unable to parse private key: none given",
        'user "system:serviceaccount:kube-system:canal"',
    ],
)
def test_what_a_diagnosis_needs_stays(line):
    """The sentences by which failures are known speak of tokens, too."""
    assert a_redactor().text(line) == line


def test_private_keys_lose_their_body_and_keep_their_lines():
    text = "a\n  -----BEGIN RSA PRIVATE KEY-----\n  MIIEow\n  AQEAu1\n  -----END RSA PRIVATE KEY-----\nb"

    masked = a_redactor().text(text).split("\n")

    assert len(masked) == 6
    assert masked[1].strip() == "-----BEGIN RSA PRIVATE KEY-----"
    assert "MIIE" not in str(masked)
    assert "AQEA" not in str(masked)
    assert masked[5] == "b"
    one_line = a_redactor().text('"k": "-----BEGIN PRIVATE KEY-----\\nMIIEow\\n-----END PRIVATE KEY-----\\n"')
    assert "MIIEow" not in one_line


def test_secret_manifests_in_text_lose_every_value_whatever_its_name():
    text = "kind: Secret\nmetadata:\n  name: harmless\ndata:\n  anything: aHVudGVyMg==\n  block: |\n    aHVudGVyMw==\ntype: Opaque\n---\nkind: ConfigMap\ndata:\n  plain: stays"

    masked = a_redactor().text(text)

    assert "aHVudGVy" not in masked
    assert "name: harmless" in masked
    assert "plain: stays" in masked
    assert "type: Opaque" in masked


def test_block_scalars_under_a_secret_key_are_masked():
    masked = a_redactor().text("password: |\n  first\n  second\nuser: root")

    assert "first" not in masked
    assert "second" not in masked
    assert "user: root" in masked


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "spec", "items", "password", "token", "env", "x-y"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def shape(value):
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return "number" if isinstance(value, int) and not isinstance(value, bool) else type(value).__name__


@given(JSON)
def test_json_keeps_its_structure(value):
    masked = a_redactor().object(value)

    assert json.loads(json.dumps(masked)) == masked
    # A number can be a password, too; nothing else changes its type.
    assert str(shape(masked)).replace("str", "number") == str(shape(value)).replace("str", "number")


def test_values_of_secret_objects_are_masked_and_their_names_kept():
    secret = {
        "kind": "Secret",
        "metadata": {"name": "x"},
        "type": "Opaque",
        "data": {"tls.key": "S0VZ", "user": "dXNlcg=="},
    }

    masked = a_redactor().object({"kind": "SecretList", "items": [secret]})["items"][0]

    assert list(masked["data"]) == ["tls.key", "user"]
    assert "S0VZ" not in json.dumps(masked)
    assert "dXNlcg" not in json.dumps(masked)
    assert masked["metadata"] == {"name": "x"}


def test_a_machine_plan_keeps_what_a_diagnosis_needs():
    plan = {
        "files": [{"content": "c2VjcmV0LWNvbnRlbnQ=", "path": "/etc/rancher/rke2/config.yaml.d/50-rancher.yaml"}],
        "instructions": [{"name": "install", "image": "i:1", "env": ["RKE2_TOKEN=hunter2", "RESTART_STAMP=abc"], "args": ["-c", "run --token hunter2"]}],
        "probes": {"kubelet": {"initialDelaySeconds": 1}},
    }  # fmt: skip
    data = {
        "plan": base64.b64encode(json.dumps(plan).encode()).decode(),
        "applied-checksum": "YWJj",
        "failure-count": "MA==",
        "probe-statuses": "eyJrdWJlbGV0Ijp7fX0=",
        "applied-output": "aHVudGVyMg==",
    }

    masked = a_redactor().object({"kind": "Secret", "type": "rke.cattle.io/machine-plan", "data": data})["data"]

    kept = json.loads(base64.b64decode(masked["plan"]))
    assert kept["files"][0]["path"] == "/etc/rancher/rke2/config.yaml.d/50-rancher.yaml"
    assert kept["files"][0]["content"].startswith("<masked:")
    assert [entry.split("=")[0] for entry in kept["instructions"][0]["env"]] == ["RKE2_TOKEN", "RESTART_STAMP"]
    assert kept["probes"] == plan["probes"]
    assert "hunter2" not in json.dumps(kept)
    assert (masked["applied-checksum"], masked["failure-count"]) == ("YWJj", "MA==")
    assert masked["probe-statuses"] == data["probe-statuses"]
    assert masked["applied-output"].startswith("<masked:")


def test_env_entries_and_applied_configuration_are_looked_into():
    pod = {
        "kind": "Pod",
        "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"kind":"Secret","data":{"a":"aHVudGVyMg=="}}'}},
        "spec": {"containers": [{"env": [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "LOG", "value": "debug"}]}]},
    }  # fmt: skip

    text = json.dumps(a_redactor().object(pod))

    assert "hunter2" not in text
    assert "aHVudGVyMg" not in text
    assert "debug" in text


def test_the_report_counts_by_rule_and_place_and_never_holds_a_value():
    redactor = a_redactor()
    redactor.text("password: hunter2\npassword: hunter3", "a.yaml")
    redactor.text("Bearer abcdefgh1234", "b.log")

    assert [(e.rule, e.place, e.count) for e in redactor.report] == [
        ("authorization", "b.log", 1),
        ("key", "a.yaml", 2),
    ]
    assert counts_by_rule(redactor.report) == {"authorization": 1, "key": 2}
    assert "hunter" not in str(redactor.report)


def test_a_whole_bundle_is_masked_and_its_manifest_says_so():
    bundle = Bundle.of(
        {
            "events.txt": "password: hunter2\n",
            "objects/downstream/secrets/kube-system/x.json": '{"kind":"Secret","data":{"k":"aHVudGVyMg=="}}',
            "logs/kubelet/w.log": "token=hunter2 on windows\r\n".encode("utf-16"),
        },
        Manifest(cluster_id="c-1"),
    )

    masked = redact_bundle(bundle, a_redactor())

    assert all(b"hunter2" not in masked[path].read_bytes() for path in masked)
    assert all(b"aHVudGVy" not in masked[path].read_bytes() for path in masked)
    assert masked.manifest.cluster_id == "c-1"
    assert counts_by_rule(masked.manifest.redactions) == {"key": 2, "secret-object": 1}
    assert b'"rule": "secret-object"' in masked["manifest.json"].read_bytes()


def test_broken_json_is_masked_as_text():
    assert b"hunter2" not in a_redactor().file("objects/x.json", b'{"password": "hunter2", broken')


def test_without_rules_and_keys_nothing_is_masked():
    assert (
        Redactor(RedactionRules((), ()), b"k").text("password: hunter2 AKIAABCDEFGHIJKLMNOP")
        == "password: hunter2 AKIAABCDEFGHIJKLMNOP"
    )


def test_a_rule_without_group_masks_all_of_it():
    redactor = Redactor(RedactionRules((Rule("site", "site", r"site-[0-9]+"),), ()), b"k" * 32)

    assert redactor.text("in site-42 now").startswith("in <masked:site:")


@pytest.mark.parametrize(
    "line",
    [
        "W1123 client_config.go:618] Neither --kubeconfig nor --master was specified.  Using the inClusterConfig.",
        "kube-proxy --kubeconfig /var/lib/rancher/rke2/agent/kubeproxy.kubeconfig --proxy-mode iptables",
    ],
)
def test_the_path_of_a_kubeconfig_is_no_secret(line):
    """
    The flag names a file; what the file holds is masked where the file itself is shown.
    """
    assert a_redactor().text(line) == line
