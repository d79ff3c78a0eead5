"""What changes the table of attempts in Redis: scripts, each of which Redis carries out as one step.

A task run has a hash (`task_key`): the attempt that is there now (`epoch`, `attempt`), the `token` of its delivery, its
`state`, the `work` that a worker is given, the `route` by which a message of it goes, the `session` of the worker that has it,
its `result`, the `side` of the engine that hears of it, and the attempt that comes `next`, when this one has ended. Beside it
lies what attempts wrote (`log_key`). A session is a key that expires unless its worker renews it. What engines and workers have
to hear lies in lists (`inbox_key`, `orders_key`), which may be lost: all of it is in the table, too.

    waiting    a message of it is in a queue of Celery, or will be
    running    a worker has it
    stopping   the same, and it is to stop
    ended      its result is there, and not recorded yet
    lost       it will give no result; the engine may offer it again
    done       its result is recorded; late logs find their engine still
"""

from __future__ import annotations

from typing import Final

PREFIX: Final = "aether:"

_COMMON: Final = """
local function say(side, ...)
  if side and side ~= '' then
    local inbox = 'aether:i:' .. side
    redis.call('RPUSH', inbox, cjson.encode({...}))
    redis.call('PEXPIRE', inbox, 600000)
  end
end
local function lives(session)
  return session and redis.call('EXISTS', 'aether:s:' .. session) == 1
end
local function order(session, token)
  redis.call('RPUSH', 'aether:o:' .. session, token)
  redis.call('PEXPIRE', 'aether:o:' .. session, 600000)
end
local function gone(key)
  local t = 'aether:t:' .. key
  local n = redis.call('HMGET', t, 'next_epoch', 'next_attempt', 'next_token', 'next_work', 'side', 'ttl', 'token',
                       'next_route')
  redis.call('DEL', t)
  if n[1] then
    redis.call('HSET', t, 'epoch', n[1], 'attempt', n[2], 'token', n[3], 'work', n[4], 'side', n[5] or '',
               'state', 'waiting', 'ttl', n[6], 'route', n[8])
    redis.call('PEXPIRE', t, n[6])
    say(n[5], 'next', key, n[3])
  else
    say(n[5], 'freed', key, n[7])
  end
end
local function lose(key, token, side, state, reason, blamed)
  if state == 'stopping' then gone(key) return end
  local t = 'aether:t:' .. key
  redis.call('HSET', t, 'state', 'lost', 'reason', reason, 'blamed', blamed)
  redis.call('HDEL', t, 'work', 'session')
  redis.call('PEXPIRE', t, 3600000)
  say(side, 'lost', key, token, reason, blamed)
end
"""

PUT: Final = """
local key, epoch, attempt, token, work, side, ttl, route = unpack(ARGV)
local t = 'aether:t:' .. key
local was = redis.call('HMGET', t, 'epoch', 'attempt', 'state', 'session', 'token', 'next_epoch', 'next_attempt')
local function fresh()
  redis.call('DEL', t)
  redis.call('HSET', t, 'epoch', epoch, 'attempt', attempt, 'token', token, 'work', work, 'side', side,
             'state', 'waiting', 'ttl', ttl, 'route', route)
  redis.call('PEXPIRE', t, ttl)
  return {'fresh', token}
end
local function compared(e, a)
  e, a = tonumber(epoch) - tonumber(e), tonumber(attempt) - tonumber(a)
  if e ~= 0 then return e end
  return a
end
local state = was[3]
if not was[1] or state == 'done' or state == 'lost' then return fresh() end
local runs = (state == 'running' or state == 'stopping') and lives(was[4])
local newer = compared(was[1], was[2])
if newer < 0 then return {'old', ''} end
if newer == 0 and state ~= 'stopping' then
  if state == 'running' and not runs then return fresh() end
  redis.call('HSET', t, 'side', side)
  redis.call('PEXPIRE', t, ttl)
  if state == 'ended' then say(side, 'ended', key, was[5]) end
  return {state, was[5]}
end
if not runs then return fresh() end
if was[6] and compared(was[6], was[7]) < 0 then return {'old', ''} end
redis.call('HSET', t, 'next_epoch', epoch, 'next_attempt', attempt, 'next_token', token, 'next_work', work,
           'next_route', route, 'side', side, 'state', 'stopping')
redis.call('PEXPIRE', t, ttl)
if state ~= 'stopping' then order(was[4], was[5]) end
return {'after', token}
"""

STOP: Final = """
local key, epoch, attempt = unpack(ARGV)
local t = 'aether:t:' .. key
local was = redis.call('HMGET', t, 'epoch', 'attempt', 'state', 'session', 'token', 'next_epoch', 'next_attempt')
if was[6] == epoch and was[7] == attempt then
  redis.call('HDEL', t, 'next_epoch', 'next_attempt', 'next_token', 'next_work', 'next_route')
end
if was[1] ~= epoch or was[2] ~= attempt then return 0 end
if (was[3] == 'running' or was[3] == 'stopping') and lives(was[4]) then
  redis.call('HSET', t, 'state', 'stopping')
  order(was[4], was[5])
  return 1
end
gone(key)
return 1
"""

HELD: Final = """
local key, epoch, attempt, side = unpack(ARGV)
local t = 'aether:t:' .. key
local was = redis.call('HMGET', t, 'epoch', 'attempt', 'state', 'session', 'token', 'route')
local state, token = was[3], was[5]
if redis.call('LLEN', 'aether:l:' .. key) > 0 then say(side, 'log', key) end
if was[1] ~= epoch or was[2] ~= attempt then return {'unknown', ''} end
if state == 'waiting' or state == 'ended' or (state == 'running' and lives(was[4])) then
  redis.call('HSET', t, 'side', side)
  if state == 'ended' then say(side, 'ended', key, token) end
  return {state, token, was[6] or ''}
end
if state == 'lost' or state == 'running' then
  redis.call('DEL', t)
  return {'lost', token}
end
return {'unknown', ''}
"""

RELEASE: Final = """
local key, side = unpack(ARGV)
local t = 'aether:t:' .. key
if redis.call('HGET', t, 'side') == side then redis.call('HSET', t, 'side', '') end
"""

CHECK: Final = """
local key, token, side = unpack(ARGV)
local t = 'aether:t:' .. key
local was = redis.call('HMGET', t, 'token', 'state', 'session', 'next_token', 'side', 'ttl')
if redis.call('LLEN', 'aether:l:' .. key) > 0 then say(side, 'log', key) end
if not was[1] then return {'missing', 0} end
if was[6] and was[2] ~= 'done' and was[2] ~= 'lost' then redis.call('PEXPIRE', t, was[6]) end
if was[1] ~= token then
  if was[4] == token then
    if not lives(was[3]) then gone(key) end
    return {'after', 0}
  end
  return {'other', 0}
end
if was[2] == 'running' or was[2] == 'stopping' then
  local left = redis.call('PTTL', 'aether:s:' .. was[3])
  if left < 0 then
    lose(key, token, was[5], was[2], 'its Celery worker gives no sign of life', 0)
    return {'checked', 0}
  end
  return {was[2], left}
end
return {was[2], 0}
"""

ACKNOWLEDGE: Final = """
local key, token = unpack(ARGV)
local t = 'aether:t:' .. key
local was = redis.call('HMGET', t, 'token', 'state')
if was[1] == token and was[2] == 'ended' then
  redis.call('HSET', t, 'state', 'done')
  redis.call('HDEL', t, 'work', 'result', 'session')
  redis.call('PEXPIRE', t, 60000)
end
"""

TRIM: Final = """
local key, count, token, stream, offset = unpack(ARGV)
local l = 'aether:l:' .. key
local first = redis.call('LINDEX', l, 0)
if not first then return 0 end
local piece = cmsgpack.unpack(first)
if piece[1] ~= token or piece[4] ~= stream or piece[5] ~= tonumber(offset) then return 0 end
redis.call('LTRIM', l, count, -1)
return 1
"""

# --- of workers ---

CLAIM: Final = """
local key, token, session = unpack(ARGV)
local t = 'aether:t:' .. key
local was = redis.call('HMGET', t, 'token', 'state', 'session', 'work', 'side', 'epoch', 'attempt')
if was[1] ~= token then return {'gone'} end
if was[2] == 'waiting' then
  if not lives(session) then return {'late'} end
  redis.call('HSET', t, 'state', 'running', 'session', session)
  return {'yours', was[4], was[5], was[6], was[7]}
end
if was[2] == 'running' or was[2] == 'stopping' then
  if lives(was[3]) then return {'held'} end
  lose(key, token, was[5], was[2], 'its Celery worker gives no sign of life', 0)
end
return {'gone'}
"""

RECLAIM: Final = """
local key, token, session, epoch, attempt, work, side, ttl = unpack(ARGV)
local t = 'aether:t:' .. key
local was = redis.call('HMGET', t, 'token', 'state')
if not was[1] then
  redis.call('HSET', t, 'epoch', epoch, 'attempt', attempt, 'token', token, 'work', work, 'side', side,
             'state', 'running', 'session', session, 'ttl', ttl)
  redis.call('PEXPIRE', t, ttl)
  return 1
end
if was[1] == token and (was[2] == 'running' or was[2] == 'stopping') then
  redis.call('HSET', t, 'session', session)
  return was[2] == 'running' and 1 or 0
end
return 0
"""

BEGIN: Final = """
local session, name, lease = unpack(ARGV)
redis.call('SET', 'aether:s:' .. session, name, 'PX', lease)
"""

RENEW: Final = """
local session, lease = unpack(ARGV)
if redis.call('PEXPIRE', 'aether:s:' .. session, lease) == 0 then return {0} end
local stop = {1}
for i = 3, #ARGV, 2 do
  local was = redis.call('HMGET', 'aether:t:' .. ARGV[i], 'token', 'state')
  if was[1] ~= ARGV[i + 1] or was[2] == 'stopping' then stop[#stop + 1] = ARGV[i + 1] end
end
return stop
"""

LEAVE: Final = """
redis.call('DEL', 'aether:s:' .. ARGV[1], 'aether:o:' .. ARGV[1])
"""

STARTED: Final = """
local key, token = unpack(ARGV)
local was = redis.call('HMGET', 'aether:t:' .. key, 'token', 'side')
if was[1] == token then say(was[2], 'started', key, token) end
"""

PROGRESS: Final = """
local key, token, details = unpack(ARGV)
local was = redis.call('HMGET', 'aether:t:' .. key, 'token', 'side')
if was[1] == token then say(was[2], 'progress', key, token, details) end
"""

LOG: Final = """
local key, piece, most, ttl = unpack(ARGV)
local l = 'aether:l:' .. key
if redis.call('LLEN', l) >= tonumber(most) then return 0 end
redis.call('RPUSH', l, piece)
redis.call('PEXPIRE', l, ttl)
say(redis.call('HGET', 'aether:t:' .. key, 'side'), 'log', key)
return 1
"""

RESULT: Final = """
local key, token, result = unpack(ARGV)
local t = 'aether:t:' .. key
local was = redis.call('HMGET', t, 'token', 'state', 'side')
if was[1] ~= token then return 0 end
if was[2] == 'stopping' then
  gone(key)
elseif was[2] == 'running' then
  redis.call('HSET', t, 'state', 'ended', 'result', result)
  redis.call('HDEL', t, 'work')
  say(was[3], 'ended', key, token)
end
return 1
"""

DIED: Final = """
local key, token, reason, blamed, surely = unpack(ARGV)
local t = 'aether:t:' .. key
local was = redis.call('HMGET', t, 'token', 'state', 'side', 'session')
if was[1] == token and (was[2] == 'running' or was[2] == 'stopping') then
  if surely == '1' then redis.call('DEL', 'aether:s:' .. was[4]) end
  lose(key, token, was[3], was[2], reason, tonumber(blamed))
end
"""

RETURNED: Final = """
local key, token, reason, refused = unpack(ARGV)
local t = 'aether:t:' .. key
local was = redis.call('HMGET', t, 'token', 'state', 'side')
if was[1] ~= token then return end
if was[2] == 'stopping' then
  gone(key)
elseif was[2] == 'running' then
  redis.call('HSET', t, 'state', 'waiting')
  redis.call('HDEL', t, 'session')
  say(was[3], 'returned', key, token, reason, tonumber(refused))
end
"""

SCRIPTS: Final = {
    name: _COMMON + text
    for name, text in (
        ("put", PUT),
        ("stop", STOP),
        ("held", HELD),
        ("release", RELEASE),
        ("check", CHECK),
        ("acknowledge", ACKNOWLEDGE),
        ("trim", TRIM),
        ("claim", CLAIM),
        ("reclaim", RECLAIM),
        ("begin", BEGIN),
        ("renew", RENEW),
        ("leave", LEAVE),
        ("started", STARTED),
        ("progress", PROGRESS),
        ("log", LOG),
        ("result", RESULT),
        ("died", DIED),
        ("returned", RETURNED),
    )
}


def task_key(task_run: str) -> str:
    """The hash of a task run."""
    return f"{PREFIX}t:{task_run}"


def log_key(task_run: str) -> str:
    """What attempts of a task run wrote, and no engine has stored yet."""
    return f"{PREFIX}l:{task_run}"


def inbox_key(side: str) -> str:
    """What an engine has to hear."""
    return f"{PREFIX}i:{side}"


def orders_key(session: str) -> str:
    """The deliveries that a worker has to stop."""
    return f"{PREFIX}o:{session}"
