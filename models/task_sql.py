"""The statements behind the transitions of :class:`models.task.Task`, by name.

A statement that ends an attempt also closes its row in the ledger and records the decisions, so
that one round trip and one commit apply all or nothing. For the same reason a claim returns all
that the attempt needs: its expert, and the results of its dependencies.
"""

from __future__ import annotations

from models.marks import MARKED
from models.times import within_limits

INSERT = """
INSERT INTO tasks (id, title, description, priority, category, assignee_expert_id, metadata,
                   idempotency_key)
VALUES %s
ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
RETURNING id::text
"""
INSERT_ROW = "(%s::uuid, %s, %s, %s, %s, %s::uuid, %s::jsonb, %s)"

INSERT_DEPENDENCIES = """
INSERT INTO kos_dependencies (task_id, depends_on_id) VALUES %s ON CONFLICT DO NOTHING
"""

# What the creator wrote wins over what we chose: hence `coalesce` and the order of `||`.
# Rows that somebody else has locked are left for the next page.
ASSIGN = """
WITH given AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(%(rows)s) AS g(id uuid, expert_id uuid, category text,
    complexity real, source text)
), assigned AS (
  UPDATE tasks t SET
    assignee_expert_id = coalesce(t.assignee_expert_id, given.expert_id),
    category = coalesce(t.category, given.category),
    complexity = coalesce(t.complexity, given.complexity),
    metadata = CASE
      WHEN jsonb_typeof(coalesce(t.metadata, '{}')) <> 'object' THEN t.metadata
      ELSE jsonb_strip_nulls(jsonb_build_object(
        'preferred_source', given.source,
        'preferred_model', (SELECT e.metadata->>'preferred_model' FROM experts e
          WHERE e.id = coalesce(t.assignee_expert_id, given.expert_id))
      )) || coalesce(t.metadata, '{}') END
  FROM given, LATERAL (
    SELECT 1 FROM tasks l WHERE l.id = given.id AND l.status = 'pending' FOR UPDATE SKIP LOCKED
  ) AS free
  WHERE t.id = given.id AND t.status = 'pending'
    AND (t.assignee_expert_id IS NULL OR t.complexity IS NULL)
  RETURNING t.id
), why AS (
  INSERT INTO kos_decisions (task_id, stage, chosen, reason, rejected)
  SELECT assigned.id, line.stage, line.chosen, line.reason, line.rejected
  FROM assigned JOIN jsonb_to_recordset(%(why)s)
    AS line(task_id uuid, stage text, chosen text, reason text, rejected jsonb)
    ON line.task_id = assigned.id
)
SELECT id::text FROM assigned
"""

# The block advances past the rows that it names next, even those that may no longer run.
_QUEUE = """
WITH {block}, passed AS (
  UPDATE kos_blocks b SET next_index = block.next, {reordered}
    started_at = coalesce(b.started_at, now()),
    state = CASE WHEN block.next = cardinality(b.task_ids) THEN 'done' ELSE 'active' END,
    finished_at = CASE WHEN block.next = cardinality(b.task_ids) THEN now() END
  FROM block WHERE b.id = block.id
), wanted AS (
  SELECT w.id, w.place, block.routes -> block.route_of[block.first + w.place] AS route
  FROM block, unnest(block.task_ids[block.first + 1 : block.next])
    WITH ORDINALITY AS w(id, place)
), locked AS (
  SELECT t.id, w.place, w.route FROM tasks t JOIN wanted w ON w.id = t.id
  WHERE t.status = 'pending' AND t.cancel_requested_at IS NULL
    AND (t.next_attempt_at IS NULL OR t.next_attempt_at <= now())
  FOR UPDATE OF t SKIP LOCKED
), moved AS (
  UPDATE tasks t SET status = 'queued', epoch = t.epoch + 1, queued_at = now(),
    backend = block.backend, model = block.model, block_id = block.id,
    lease_owner = NULL, lease_expires_at = NULL, progress = NULL
  FROM locked l, block WHERE t.id = l.id
  RETURNING t.id, t.epoch, l.place, l.route
), why AS (
  INSERT INTO kos_decisions (task_id, stage, chosen, reason, rejected)
  SELECT m.id, line.stage, block.backend || '/' || block.model, line.reason, line.rejected
  FROM moved m, block, LATERAL (VALUES
    (1, 'route', coalesce(m.route->>'reason', 'part of its block'),
      coalesce(m.route->'rejected', '[]')),
    (2, 'plan', %(reason)s, '[]')) AS line(number, stage, reason, rejected)
  ORDER BY m.place, line.number
)
SELECT id::text, epoch FROM moved ORDER BY place
"""
QUEUE = _QUEUE.format(
    block="""block AS (
  SELECT id, backend, model, task_ids, routes, route_of, next_index AS first,
    least(next_index + %(count)s, cardinality(task_ids)) AS next
  FROM kos_blocks WHERE id = %(block)s::uuid FOR UPDATE
)""",
    reordered="",
)

# The chosen rows move to the front of the unsent ones, so that all before `next_index` were sent.
QUEUE_CHOSEN = _QUEUE.format(
    block="""found AS (
  SELECT * FROM kos_blocks WHERE id = %(block)s::uuid FOR UPDATE
), reordered AS (
  SELECT count(turn)::int AS sent, array_agg(t.id ORDER BY {order}) AS task_ids,
    array_agg(t.route ORDER BY {order}) AS route_of, array_agg(t.grp ORDER BY {order}) AS groups
  FROM found, unnest(task_ids, route_of, groups) WITH ORDINALITY AS t(id, route, grp, number),
    array_position(%(chosen)s::int[], (number - next_index - 1)::int) AS turn
), block AS (
  SELECT f.id, f.backend, f.model, f.routes, f.next_index AS first, f.next_index + sent AS next,
    r.task_ids, r.route_of, r.groups FROM found f, reordered r
)""".format(order="number > next_index, turn, number"),
    reordered="""task_ids = block.task_ids,
    route_of = block.route_of, groups = block.groups,""",
)

# The row gets its place in the block back, unless a newer plan has replaced that block.
GIVE_BACK = """
WITH back AS (
  UPDATE tasks SET status = 'pending', queued_at = NULL
  WHERE id = %(id)s::uuid AND epoch = %(epoch)s AND status = 'queued'
  RETURNING id, block_id
), place AS (
  UPDATE kos_blocks b SET state = 'active', finished_at = NULL,
    next_index = least(b.next_index, array_position(b.task_ids, back.id) - 1)
  FROM back WHERE b.id = back.block_id AND b.state IN ('active', 'done')
    AND array_position(b.task_ids, back.id) IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM kos_blocks later WHERE later.created_at > b.created_at)
)
SELECT id FROM back
"""

# Attempts are numbered over all lives of a row: `kos retry` resets the count of attempts only.
CLAIM = f"""
WITH claimed AS (
  UPDATE tasks SET status = 'in_progress', started_at = now(), lease_owner = %(owner)s,
    lease_expires_at = now() + %(lease)s * interval '1 second'
  WHERE id = %(id)s::uuid AND epoch = %(epoch)s AND status = 'queued'
    AND cancel_requested_at IS NULL
  RETURNING *
), ledger AS (
  INSERT INTO kos_attempts (task_id, number, epoch, block_id, backend, model, worker, wait_seconds)
  SELECT id, 1 + coalesce((SELECT max(number) FROM kos_attempts a WHERE a.task_id = claimed.id), 0),
    epoch, block_id, backend, model, %(owner)s,
    extract(epoch FROM now() - ({within_limits("queued_at")}))
  FROM claimed
  RETURNING number
)
SELECT c.id::text, c.title, c.description, c.priority, c.metadata, c.epoch, c.attempt_count,
  e.name AS expert_name, e.role AS expert_role, e.department AS expert_department,
  e.system_prompt AS expert_prompt, e.metadata AS expert_metadata,
  ARRAY(SELECT coalesce(p.title, '')::text FROM kos_dependencies d
        JOIN tasks p ON p.id = d.depends_on_id WHERE d.task_id = c.id
        ORDER BY p.created_at, p.id) AS earlier_titles,
  ARRAY(SELECT coalesce(p.result, '')::text FROM kos_dependencies d
        JOIN tasks p ON p.id = d.depends_on_id WHERE d.task_id = c.id
        ORDER BY p.created_at, p.id) AS earlier_results,
  c.crash_count, c.suspicion, c.backend, c.model, c.block_id::text, c.category, c.complexity,
  c.avoid, c.checkpoint, c.assignee_expert_id::text, c.created_at, c.queued_at, c.started_at,
  c.idempotency_key, ledger.number,
  ARRAY(SELECT a.error_code FROM kos_attempts a
        WHERE a.task_id = c.id AND a.error_code IS NOT NULL) AS faults
FROM ledger, claimed c LEFT JOIN experts e ON e.id = c.assignee_expert_id
"""

# clock_timestamp, not now(): the statement may have waited for the row.
HEARTBEAT = """
WITH held AS (
  SELECT t.id, beat.progress FROM tasks t
  JOIN unnest(%(ids)s::uuid[], %(epochs)s::int[], %(progress)s::text[])
    AS beat(id, epoch, progress) ON beat.id = t.id AND beat.epoch = t.epoch
  WHERE t.status = 'in_progress' AND t.lease_owner = %(owner)s FOR UPDATE OF t
)
UPDATE tasks t SET updated_at = now(), progress = held.progress::jsonb,
  lease_expires_at = clock_timestamp() + %(lease)s * interval '1 second'
FROM held WHERE t.id = held.id RETURNING t.id::text
"""
HEARTBEAT_OF_FREE = HEARTBEAT.replace("FOR UPDATE OF t", "FOR UPDATE OF t SKIP LOCKED")

HELD_LEASES = """
SELECT id::text, epoch, cancel_requested_at IS NOT NULL AS cancelled FROM tasks
WHERE id = ANY(%(ids)s::uuid[]) AND status = 'in_progress' AND lease_owner = %(owner)s
"""

CHECKPOINT = """
UPDATE tasks SET checkpoint = %(checkpoint)s
WHERE id = %(id)s::uuid AND epoch = %(epoch)s AND status = 'in_progress' RETURNING id
"""

# Recovery counts a death against a row only where it stood so when its process died.
MARK_ALONE = """
UPDATE tasks SET suspicion = 'alone'
WHERE id = %(id)s::uuid AND epoch = %(epoch)s AND status = 'in_progress' RETURNING id
"""

_END = """
WITH ended AS (
  UPDATE tasks SET status = %(state)s,
    result = coalesce(%(result)s, result),
    validation_score = coalesce(%(score)s, validation_score),
    last_error = %(error)s,
    metadata = {metadata},
    completed_at = CASE WHEN %(state)s = 'pending' THEN NULL ELSE now() END,
    next_attempt_at = %(at)s,
    attempt_count = attempt_count + %(spend)s,
    avoid = CASE WHEN %(avoid)s::jsonb = '[]' THEN avoid
      ELSE coalesce(avoid, '[]') || %(avoid)s::jsonb END,
    complexity = CASE WHEN %(stronger)s THEN greatest(complexity, 0.9) ELSE complexity END,
    checkpoint = CASE WHEN %(state)s = 'completed' THEN NULL ELSE checkpoint END,
    suspicion = CASE WHEN %(code)s = 'interrupted' AND suspicion IS NOT NULL THEN 'suspect' END,
    lease_owner = NULL, lease_expires_at = NULL, progress = NULL
  WHERE id = %(id)s::uuid AND epoch = %(epoch)s AND status = 'in_progress' {guard}
  RETURNING id, epoch
), ledger AS (
  UPDATE kos_attempts a SET finished_at = now(), outcome = %(outcome)s, error = %(error)s,
    error_code = %(code)s, verdict = %(verdict)s,
    messages = %(messages)s, options = %(options)s, answer = %(answer)s,
    finish_reason = %(finish_reason)s,
    wait_seconds = coalesce(%(wait)s, a.wait_seconds), load_seconds = %(load)s,
    first_token_seconds = %(first_token)s, duration_seconds = %(duration)s,
    prompt_tokens = %(prompt_tokens)s, completion_tokens = %(completion_tokens)s,
    cached_prompt_tokens = %(cached_prompt_tokens)s,
    prefill_seconds = %(prefill)s, decode_seconds = %(decode)s
  FROM ended WHERE a.task_id = ended.id AND a.epoch = ended.epoch
), why AS (
  INSERT INTO kos_decisions (task_id, stage, chosen, reason, rejected)
  SELECT ended.id, line.stage, line.chosen, line.reason, line.rejected
  FROM ended, jsonb_to_recordset(%(why)s)
    AS line(stage text, chosen text, reason text, rejected jsonb)
)
SELECT id FROM ended
"""
END_UNLESS_CANCELLED = _END.format(guard="AND cancel_requested_at IS NULL", metadata=MARKED)
END_CANCELLED = _END.format(guard="AND cancel_requested_at IS NOT NULL", metadata=MARKED)

CANCEL = """
WITH found AS (
  SELECT id FROM tasks
  WHERE id = ANY(%(ids)s::uuid[]) AND status IN ('pending', 'queued', 'in_progress') FOR UPDATE
)
UPDATE tasks t SET cancel_requested_at = coalesce(cancel_requested_at, now()),
  status = CASE WHEN status = 'in_progress' THEN status ELSE 'cancelled' END,
  completed_at = CASE WHEN status = 'in_progress' THEN completed_at ELSE now() END,
  last_error = CASE WHEN status = 'in_progress' THEN last_error ELSE 'cancelled' END
FROM found WHERE t.id = found.id RETURNING t.id::text, t.status
"""
CANCEL_FREE = CANCEL.replace("FOR UPDATE", "FOR UPDATE SKIP LOCKED")

STILL_AMONG = """
SELECT id::text FROM tasks WHERE id = ANY(%(ids)s::uuid[]) AND status = ANY(%(states)s)
"""

# Only pending: what a worker already runs is judged by its outcome.
REFUSE = """
UPDATE tasks SET status = 'failed', last_error = %(error)s, completed_at = now()
WHERE id = %(id)s::uuid AND status = 'pending' RETURNING id
"""

POSTPONE = """
UPDATE tasks SET next_attempt_at = %(at)s, last_error = %(reason)s
WHERE id IN (
  SELECT id FROM tasks WHERE id = ANY(%(ids)s::uuid[]) AND status = 'pending'
  FOR UPDATE SKIP LOCKED
) RETURNING id
"""

REDRIVE = """
WITH found AS (
  SELECT id FROM tasks
  WHERE id = ANY(%(ids)s::uuid[]) AND status IN ('failed', 'cancelled') FOR UPDATE
)
UPDATE tasks t SET status = 'pending', attempt_count = 0, crash_count = 0, suspicion = NULL,
  next_attempt_at = NULL,
  cancel_requested_at = NULL, completed_at = NULL, last_error = NULL,
  metadata = CASE WHEN jsonb_typeof(metadata) = 'object' THEN metadata - ARRAY[
    'next_retry_after', 'deferred_to_human', 'board_escalated', 'execution_mode']
    ELSE metadata END,
  avoid = CASE WHEN %(avoid_tried)s THEN (
    SELECT coalesce(jsonb_agg(DISTINCT jsonb_build_array(a.backend, a.model)), '[]')
    FROM kos_attempts a
    WHERE a.task_id = t.id AND a.backend IS NOT NULL AND a.model IS NOT NULL) END
FROM found WHERE t.id = found.id RETURNING t.id::text, t.status
"""
REDRIVE_FREE = REDRIVE.replace("FOR UPDATE", "FOR UPDATE SKIP LOCKED")

# A queued row gets a new epoch, so that its message finds nothing to claim.
ACCEPT = """
WITH chosen AS (
  SELECT number, answer, (verdict->>'score')::real AS score FROM kos_attempts
  WHERE task_id = %(id)s::uuid AND answer IS NOT NULL AND finished_at IS NOT NULL
    AND (%(number)s::int IS NULL OR number = %(number)s)
  ORDER BY (verdict->>'score')::real DESC NULLS LAST, number DESC LIMIT 1
)
UPDATE tasks t SET status = 'completed', result = chosen.answer, validation_score = chosen.score,
  last_error = NULL, completed_at = now(), next_attempt_at = NULL, cancel_requested_at = NULL,
  checkpoint = NULL, epoch = t.epoch + CASE WHEN t.status = 'queued' THEN 1 ELSE 0 END,
  metadata = CASE WHEN jsonb_typeof(t.metadata) = 'object' THEN t.metadata - 'result_of'
    ELSE t.metadata END
FROM chosen WHERE t.id = %(id)s::uuid AND t.status <> 'in_progress'
RETURNING chosen.number
"""

KEEP_RESULT_OF = """
UPDATE tasks t SET status = 'completed', result = run.result,
  validation_score = run.validation_score, last_error = NULL,
  completed_at = coalesce(t.completed_at, now()),
  metadata = CASE WHEN jsonb_typeof(coalesce(t.metadata, '{}')) <> 'object' THEN t.metadata
    ELSE coalesce(t.metadata, '{}') || jsonb_build_object('result_of', run.id) END
FROM tasks run
WHERE t.id = %(id)s::uuid AND t.status = ANY(%(final)s) AND run.id = %(run)s::uuid
  AND run.status = 'completed' AND left(run.metadata ->> 'rerun_of', 100) = t.id::text
RETURNING t.id
"""
