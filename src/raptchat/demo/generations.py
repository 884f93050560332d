"""What the demo gateway remembers of each reply: the answers to `/generation`."""

import itertools
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from raptchat.demo.wire import Answer, Asked, Bill, in_json, refusal

_REMEMBERED = 10_000


@dataclass(slots=True)
class _Record:
    bill: Bill
    finish: str | None
    streamed: bool
    created_at: float
    unrecorded: int


class Generations:
    """The replies by their ids. It is not safe between threads: whoever uses it has a lock."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._records: dict[str, _Record] = {}

    def new_id(self) -> str:
        """The id of the next reply."""
        return f"gen-demo-{next(self._numbers)}"

    def add(self, asked: Asked, answer: Answer) -> None:
        """Remember the reply to *asked*, if *answer* is the beginning of one."""
        if answer.bill is None:
            return
        self._records[asked.generation_id] = _Record(
            answer.bill, answer.finish, asked.stream, time.time(), answer.unrecorded
        )
        if len(self._records) > _REMEMBERED:
            del self._records[next(iter(self._records))]

    def answer(self, generation_id: str) -> Answer:
        """`GET /generation`."""
        record = self._records.get(generation_id)
        if record is None or record.unrecorded:
            if record is not None:
                record.unrecorded -= 1
            return refusal(404, "Generation not found")
        bill = record.bill
        return in_json(
            {
                "data": {
                    "id": generation_id,
                    "model": bill.model,
                    "provider_name": "demo",
                    "created_at": datetime.fromtimestamp(record.created_at, UTC).isoformat(),
                    "total_cost": float(bill.cost),
                    "usage": float(bill.cost),
                    "upstream_inference_cost": None,
                    "is_byok": False,
                    "tokens_prompt": bill.prompt,
                    "tokens_completion": bill.completion,
                    "native_tokens_prompt": bill.prompt,
                    "native_tokens_completion": bill.completion,
                    "native_tokens_reasoning": bill.thought,
                    "native_tokens_cached": 0,
                    "streamed": record.streamed,
                    "finish_reason": record.finish,
                }
            }
        )
