"""What the doctor's tests share."""


def detail_of(what, findings):
    (finding,) = [finding for finding in findings if finding.what.strip() == what]
    return finding.status, finding.detail
