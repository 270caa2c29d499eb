"""
Write PyTorch's answers into torch_answers.json, for test_torch_answers.py to read where PyTorch is not installed.

By hand, with timm installed too, whenever CASES changes: python tests/optimizers/record_torch.py
"""

import json

import timm
import torch
from test_torch_answers import ANSWERS, CASES, RECORDED_STEPS, torch_run


def main() -> None:
    answers = {}
    for name, case in CASES.items():
        params, _ = torch_run(case)
        answers[name] = {str(step): {k: p.ravel().tolist() for k, p in params[step].items()} for step in RECORDED_STEPS}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(answer)}" for name, answer in answers.items())
    versions = f'"torch": {json.dumps(torch.__version__)}, "timm": {json.dumps(timm.__version__)}'
    ANSWERS.write_text(f'{{{versions},\n"answers": {{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    main()
