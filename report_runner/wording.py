"""The words of a student report: what `sections` found, said in one language."""

from dataclasses import replace
from datetime import timedelta

from report_runner.catalogue import Language, half_up
from report_runner.charts import Bar, Chart, TrendPoint, bar_chart, trend_chart
from report_runner.practice import Practice
from report_runner.sections import (
    MINIMUM_GRADED_COUNT,
    Activity,
    Goal,
    Kpi,
    Score,
    StudentReport,
    Topic,
)
from report_runner.text import clean_text, shorten
from report_runner.views import (
    GoalText,
    PracticeText,
    ScoreText,
    TopicText,
    Value,
    WeeklyReportText,
)

# probability of a goal -> message; the first that is reached counts
_GOAL_WORDS = ((0.95, "reached"), (0.65, "high"), (0.4, "even"), (0.15, "low"), (0.0, "far"))
_EVEN = 0.5
# Enough of a question to know it again.
_CONTENT_EMS = 60
_TREND_CHART_POINTS = 2


def say(report: StudentReport, language: Language) -> WeeklyReportText:
    """Return the report in the words of `language`."""
    week = report.week
    period = language.interval(week.week_start, week.week_start + timedelta(days=6))
    name = clean_text(report.display_name or "")
    student = (
        language.text("page.student", name=name)
        if name
        else language.text("page.student_without_name", id=_visible(report.student_id))
    )
    as_of = language.day(week.as_of_date)
    group = [clean_text(part or "") for part in (report.grade, report.classroom)]
    names = ", ".join(language.text(f"kpis.{kpi}.name") for kpi in report.missing_kpis)
    return WeeklyReportText(
        document_title=language.text("page.document_title", student=student, period=period),
        student=student,
        group=" · ".join(part for part in group if part),
        period=period,
        running="" if week.is_complete else language.text("page.running", date=as_of),
        headline=_headline(report, language),
        lead=_lead(report, language),
        activity=_activity(report.activity, report.activity_before, language),
        score=None if report.score is None else _score(report.score, language),
        kpis=tuple(_kpi(kpi, language) for kpi in report.kpis),
        missing_kpis=language.text("kpis.missing", names=names) if names else "",
        topic_chart=_topic_chart(report.topics, language),
        strong_topics=_standing_out(report.topics, "strong", language),
        weak_topics=_standing_out(report.topics, "weak", language),
        practice=tuple(_practice(group, language) for group in report.practice),
        goals=_goals(report.goals, language),
        has_own_goals=any(goal.is_own for goal in report.goals),
        more_goals=language.text("goals.more", count=language.number(report.more_goal_count))
        if report.more_goal_count
        else "",
        short=_short(report, language) if report.is_short else (),
        as_of=language.text("reading.as_of", date=as_of),
    )


def _visible(value: str) -> str:
    """Return a name that can be seen, whatever stands in its place."""
    return clean_text(value) or "—"


def _headline(report: StudentReport, language: Language) -> str:
    values: dict[str, str] = {}
    if report.headline == "growth" and report.score and report.score.change:
        values["change"] = language.number(_rounded_change(report.score))
        values["weeks"] = language.text("unit.weeks", count=report.score.change_weeks)
    elif report.headline == "recovery":
        rate = next(kpi.value for kpi in report.kpis if kpi.name == "recovery_rate")
        values["rate"] = language.percent(rate)
    elif report.headline == "topic":
        best = next(topic for topic in report.topics if topic.strength == "strong")
        values["topic"] = _visible(best.topic_id)
    return language.text(f"headline.{report.headline}", **values)


def _lead(report: StudentReport, language: Language) -> tuple[str, ...]:
    activity = report.activity
    if activity is None:
        sentences = [] if report.is_short else [language.text("lead.quiet")]
    else:
        days = language.text("unit.days", count=activity.day_count)
        count = language.number(activity.attempt_count)
        rate = activity.correct_rate
        sentences = [
            language.text("lead.activity_ungraded", days=days, count=count)
            if rate is None
            else language.text("lead.activity", days=days, count=count, rate=language.percent(rate))
        ]
    weakest = [topic for topic in report.topics if topic.strength == "weak"]
    if weakest:
        sentences.append(language.text("lead.focus", topic=_visible(weakest[-1].topic_id)))
    return tuple(sentences)


def _activity(
    now: Activity | None, before: Activity | None, language: Language
) -> tuple[Value, ...]:
    if now is None:
        return ()

    def value(key: str, shown: str, raw: float, earlier: str | None) -> Value:
        note = "" if earlier is None else language.text("activity.before", value=earlier)
        return Value(language.text(f"activity.{key}"), shown, repr(raw), note)

    def questions(activity: Activity) -> str:
        count = language.number(activity.attempt_count)
        return language.text("activity.questions_value", count=count)

    def days(activity: Activity) -> str:
        return language.text("unit.days", count=activity.day_count)

    values = [
        value(
            "questions",
            questions(now),
            now.attempt_count,
            None if before is None else questions(before),
        ),
    ]
    if now.correct_rate is not None:
        earlier = None if before is None else before.correct_rate
        values.append(
            value(
                "rate",
                language.percent(now.correct_rate),
                now.correct_rate,
                None if earlier is None else language.percent(earlier),
            )
        )
    values.append(value("days", days(now), now.day_count, None if before is None else days(before)))
    return tuple(values)


def _rounded_change(score: Score) -> int:
    """Return the size of the change between the scores as they are shown."""
    earlier = score.now.score - (score.change or 0.0)
    return int(abs(half_up(score.now.score) - half_up(earlier)))


def _score(score: Score, language: Language) -> ScoreText:
    now = score.now
    if score.change_weeks is None:
        change = language.text("score.first")
    else:
        size = _rounded_change(score)
        change = language.text(
            "score.equal" if size == 0 else f"score.{score.trend}",
            weeks=language.text("unit.weeks", count=score.change_weeks),
            change=language.number(size),
        )
    first = score.points[0]
    chart = None
    if len(score.points) >= _TREND_CHART_POINTS:
        points = [
            TrendPoint(
                week=(point.week_start - first.week_start).days // 7,
                label=language.short_day(point.week_start + timedelta(days=6)),
                score=point.score,
                low=point.low,
                high=point.high,
            )
            for point in score.points
        ]
        title = language.text("score.chart_title")
        description = language.text(
            "score.chart_description",
            start=language.day(first.week_start + timedelta(days=6)),
            first=language.number(first.score),
            end=language.day(now.week_start + timedelta(days=6)),
            last=language.number(now.score),
        )
        chart = trend_chart(points, title, description)
    return ScoreText(
        shown=language.number(now.score),
        raw=repr(now.theta),
        range=language.text(
            "score.range",
            low=language.number(now.low),
            high=language.number(now.high),
        ),
        change=change,
        chart=chart,
    )


def _kpi(kpi: Kpi, language: Language) -> Value:
    show = language.signed if kpi.name == "improvement_index" else language.percent
    shown = show(kpi.value)
    if kpi.name == "time_efficiency" and kpi.level != "low":
        shown = language.text("kpis.time_efficiency.value", value=shown)
    words = f"{_evidence(kpi, language)} {language.text(f'kpis.{kpi.name}.{kpi.level}')}"
    return Value(
        name=language.text(f"kpis.{kpi.name}.name"),
        shown=shown,
        raw=repr(kpi.value),
        before="" if kpi.before is None else language.text("kpis.before", value=show(kpi.before)),
        words=words,
        meaning=language.text(f"kpis.{kpi.name}.meaning"),
    )


def _evidence(kpi: Kpi, language: Language) -> str:
    """Say in seconds or questions what a KPI rests on, where that is known."""
    if "count" in kpi.details:
        count = kpi.details["count"]
        return language.text(
            f"kpis.{kpi.name}.counts",
            count=language.number(count),
            correct=language.number(kpi.value * count),
        )
    if {"recent", "previous"} <= set(kpi.details) and kpi.level != "low":
        recent, previous = (language.number(kpi.details[key]) for key in ("recent", "previous"))
        if recent != previous:
            return language.text(f"kpis.{kpi.name}.times", previous=previous, recent=recent)
    return ""


def _topic_chart(topics: tuple[Topic, ...], language: Language) -> Chart | None:
    if not topics:
        return None
    bars = [
        Bar(
            name=topic.topic_id,
            share=topic.correct_rate,
            value=language.text(
                "topics.chart_value",
                rate=language.percent(topic.correct_rate),
                count=language.number(topic.graded_count),
            ),
            mark=language.text(f"topics.chart_{topic.strength}") if topic.strength else None,
            is_strong=topic.strength == "strong",
            is_weak=topic.strength == "weak",
        )
        for topic in topics
    ]
    title = language.text("topics.chart_title")
    description = ", ".join(
        language.text(
            "topics.chart_item",
            topic=_visible(topic.topic_id),
            rate=language.percent(topic.correct_rate),
        )
        for topic in topics
    )
    return bar_chart(bars, title, description)


def _standing_out(
    topics: tuple[Topic, ...], strength: str, language: Language
) -> tuple[TopicText, ...]:
    return tuple(
        TopicText(
            name=_visible(topic.topic_id),
            rate=language.text(
                "topics.rate",
                count=language.number(topic.graded_count),
                correct=language.number(topic.correct_count),
                rate=language.percent(topic.correct_rate),
            ),
        )
        for topic in (topics if strength == "strong" else reversed(topics))
        if topic.strength == strength
    )


def _practice(practice: Practice, language: Language) -> PracticeText:
    if practice.topic_id is None:
        name, reason = language.text("practice.other"), ""
    else:
        name = language.text("practice.topic", topic=_visible(practice.topic_id))
        if practice.is_weak:
            reason = language.text("practice.weak")
        elif practice.correct_rate is None:
            reason = language.text("practice.unseen")
        else:
            reason = language.text("practice.rate", rate=language.percent(practice.correct_rate))
    items = []
    for item in practice.items:
        label = language.text("practice.item", id=_visible(item.item_id))
        content = shorten(clean_text(item.content or ""), _CONTENT_EMS)
        chance = language.text("practice.chance", rate=language.percent(item.probability))
        note = f"{label} · {chance}" if content else chance
        items.append({"name": content or label, "note": note})
    return PracticeText(name, reason, tuple(items))


def _goals(goals: tuple[Goal, ...], language: Language) -> tuple[GoalText, ...]:
    texts = [_goal(goal, language) for goal in goals]
    # Advice that holds for several goals is given with the first.
    far = language.text("goals.far")
    for index, text in enumerate(texts):
        if text.words == far:
            words = f"{far} {language.text('goals.far_advice')}"
            texts[index] = replace(text, words=words)
            break
    return tuple(texts)


def _goal(goal: Goal, language: Language) -> GoalText:
    due = ""
    if goal.target_date is not None and goal.days_left is not None:
        left = (
            language.text("goals.days_left", count=language.number(goal.days_left))
            if goal.days_left > 0
            else language.text("goals.due")
        )
        due = f"{language.text('goals.target_date', date=language.day(goal.target_date))} · {left}"
    word = next(word for least, word in _GOAL_WORDS if goal.probability >= least)
    # A gap is worth naming only where the goal is more likely missed than met.
    gap = 0 if goal.gap is None or goal.probability >= _EVEN else int(half_up(goal.gap))
    return GoalText(
        name=language.text("goals.overall")
        if goal.topic_id is None
        else language.text("goals.topic", topic=_visible(goal.topic_id)),
        target=language.text("goals.target", target=language.number(goal.target)),
        due=due,
        shown=_probability(goal.probability, language),
        raw=repr(goal.probability),
        words=language.text(f"goals.{word}"),
        gap=language.text("goals.gap", gap=language.number(gap)) if gap > 0 else "",
    )


def _probability(value: float, language: Language) -> str:
    """Return a probability in percent; nothing is certain or impossible."""
    percent = int(half_up(100 * value))
    if percent in {0, 100}:
        limit = language.percent(0.01 if percent == 0 else 0.99)
        return language.text("goals.below" if percent == 0 else "goals.above", limit=limit)
    return language.percent(value)


def _short(report: StudentReport, language: Language) -> tuple[str, ...]:
    count = report.total_graded_count
    needed = language.number(MINIMUM_GRADED_COUNT - count)
    first = (
        language.text("short.none", needed=needed)
        if count == 0
        else language.text("short.some", count=language.number(count), needed=needed)
    )
    return (first, language.text("short.next"))
