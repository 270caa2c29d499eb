"""
Write PyTorch's answers into torch_answers.json, for test_torch_answers.py to read where PyTorch is not installed.

By hand, whenever CASES changes: python tests/optimizers/record_torch.py
"""

import json

import torch
from test_torch_answers import ANSWERS, CASES, RECORDED_STEPS, torch_run


def main() -> None:
    answers = {}
    for name, case in CASES.items():
        params, _ = torch_run(case)
        answers[name] = {str(step): {k: p.ravel().tolist() for k, p in params[step].items()} for step in RECORDED_STEPS}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(answer)}" for name, answer in answers.items())
    ANSWERS.write_text(f'{{"torch": {json.dumps(torch.__version__)},\n"answers": {{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    main()
