"""How can a person look into the simulated GitHub with a browser, and answer?

Two plain pages, and a form that comments as one of the people.
"""

from html import escape

from bot.simulator.markdown import render
from bot.simulator.state import Comment, Issue, Repository

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1f2328; }
a { color: #0969da; text-decoration: none; } a:hover { text-decoration: underline; }
article { border: 1px solid #d0d7de; border-radius: 6px; margin: 1rem 0; overflow: hidden; }
article > header { background: #f6f8fa; border-bottom: 1px solid #d0d7de; padding: .4rem .8rem; color: #59636e; }
.body { padding: .2rem .8rem; overflow-wrap: anywhere; }
pre, code { background: #f6f8fa; border-radius: 6px; font: 13px/1.5 ui-monospace, monospace; }
pre { padding: .6rem .8rem; overflow-x: auto; } code { padding: .1em .3em; } pre code { padding: 0; }
table { border-collapse: collapse; } td, th { border: 1px solid #d0d7de; padding: .2rem .7rem; text-align: left; }
blockquote { border-left: 4px solid #d0d7de; margin: 0; padding: 0 1rem; color: #59636e; }
.added { background: #dafbe1; } .removed { background: #ffebe9; }
.label { border: 1px solid #d0d7de; border-radius: 1em; padding: 0 .6em; font-size: 12px; margin-right: .3em; }
.state { border-radius: 1em; padding: .1em .8em; color: #fff; background: #1a7f37; } .closed { background: #8250df; }
textarea { width: 100%; box-sizing: border-box; } footer { padding: 0 .8rem .6rem; color: #59636e; }
"""


def issue_list(repository: Repository) -> str:
    rows = []
    for issue in sorted(repository.issues(), key=lambda item: item.number, reverse=True):
        rows.append(
            f"<article><header>{_state(issue)} "
            f'<a href="/{repository.full_name}/issues/{issue.number}"><b>{escape(issue.title)}</b></a> #{issue.number} '
            f"{_labels(issue)} · {len(issue.comments)} comments</header></article>"
        )
    return _page(f"Issues of {repository.full_name}", "".join(rows) or "<p>No issues yet.</p>")


def one_issue(repository: Repository, issue: Issue, bots: frozenset[str]) -> str:
    people = [login for login in repository.people if login not in bots]
    options = "".join(f"<option>{escape(login)}</option>" for login in people)
    parts = [
        f'<p><a href="/{repository.full_name}/issues">{escape(repository.full_name)}</a></p>',
        f"<h1>{escape(issue.title)} #{issue.number}</h1><p>{_state(issue)} {_labels(issue)}</p>",
        _entry(issue.author, issue),
        *(_entry(comment.author, comment) for comment in issue.comments),
        _form(repository, issue, options),
    ]
    return _page(f"{issue.title} · #{issue.number}", "".join(parts))


def _form(repository: Repository, issue: Issue, options: str) -> str:
    return (
        f'<form method="post" action="/{repository.full_name}/issues/{issue.number}">'
        f'<p>Comment as <select name="login">{options}</select></p>'
        '<textarea name="body" rows="4" placeholder="/drover help"></textarea><p><button>Comment</button></p></form>'
    )


def _entry(author: str, item: Issue | Comment) -> str:
    edited = " · edited" if item.updated_at != item.created_at and isinstance(item, Comment) else ""
    marks = " ".join(f":{escape(reaction.content)}: {escape(reaction.login)}" for reaction in item.reactions)
    footer = f"<footer>{marks}</footer>" if marks else ""
    return (
        f"<article><header><b>{escape(author)}</b> {item.created_at:%Y-%m-%d %H:%M:%S} UTC{edited}</header>"
        f'<div class="body">{render(item.body)}</div>{footer}</article>'
    )


def _state(issue: Issue) -> str:
    if issue.open:
        return '<span class="state">open</span>'
    return f'<span class="state closed">closed as {escape((issue.state_reason or "").replace("_", " "))}</span>'


def _labels(issue: Issue) -> str:
    return "".join(f'<span class="label">{escape(name)}</span>' for name in issue.labels)


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style><body>{body}</body></html>"
    )
