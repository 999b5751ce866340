"""A critic that breaks loops: it objects to what has led nowhere before."""

from __future__ import annotations

from collections.abc import Sequence

PATIENCE = 3
"""Objections in a row; then whatever is proposed passes, so that a team never stands still."""
REPEATS = 2
"""How often an action may give the same observation before it is objected to."""


class Critic:
    """Judges proposals from the history alone. Holds no state."""

    def objection(
        self,
        proposal: str,
        history: Sequence[tuple[str, str]],
        actions: Sequence[str],
        vetoed: Sequence[str] = (),
    ) -> str:
        """Why a proposal should not be carried out.

        Args:
            proposal: The proposed action.
            history: (action, observation) pairs so far.
            actions: What the world admits now.
            vetoed: What was objected to since the last step.

        Returns:
            A few words for people; "" when there is no objection.
        """
        if len(vetoed) >= PATIENCE or len(set(actions) - set(vetoed)) <= 1:
            return ""
        if actions and proposal not in actions:
            return "the world does not admit it"
        return self._no_news(proposal, history) or self._to_and_fro(proposal, history)

    def _no_news(self, proposal: str, history: Sequence[tuple[str, str]]) -> str:
        """The same action gave the same observation again and again, and nothing is new since."""
        made = [number for number, (action, _) in enumerate(history) if action == proposal]
        if len(made) < REPEATS or len({history[number][1] for number in made[-REPEATS:]}) > 1:
            return ""
        before = set(history[: made[-1] + 1])
        if any(pair not in before for pair in history[made[-1] + 1 :]):
            # Something else has changed: the same action may do something now.
            return ""
        return f"it gave the same {len(made)} times"

    def _to_and_fro(self, proposal: str, history: Sequence[tuple[str, str]]) -> str:
        """The last two actions, and this one, would repeat the two before to the letter."""
        done = [*history[-3:], (proposal, "")]
        if len(done) < 4:
            return ""
        (first, seen), (second, _), (third, again), (fourth, _) = done
        if first == third and second == fourth and seen == again and first != second:
            return "it goes to and fro"
        return ""
