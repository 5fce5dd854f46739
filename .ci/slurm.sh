#!/usr/bin/env bash
# A real Slurm of one node on the loopback, for the tests: Debian's packages, no systemd.
#   .ci/slurm.sh         installs what is missing, starts it, prints the path of its slurm.conf;
#                        where that cannot be, says why in one line and exits with 1
#   .ci/slurm.sh stop    stops it
# Started already, it is left as it is. Needs root; all its files are in a folder of its own.
set -euo pipefail

dir=${UNFOLD_SLURM_DIR:-${TMPDIR:-/tmp}/unfold-slurm}
export SLURM_CONF=$dir/slurm.conf
host=$(hostname -s)

cannot() {
  echo "$1"
  exit 1
}

stop() {
  local name pid
  for name in slurmd slurmctld munged; do
    pid=$(cat "$dir/$name.pid" 2>/dev/null) && kill "$pid" 2>/dev/null || continue
    for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  done
  rm -rf "$dir"
}

answers() { [ -f "$SLURM_CONF" ] && [ "$(sinfo -h -p low -o %a 2>/dev/null)" = up ]; }

install_packages() {
  local name missing=
  for name in sbatch slurmctld slurmd munged; do command -v $name >/dev/null || missing=$name; done
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null || cannot "there is no $missing here, and no apt-get to install it"
  {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends slurm-wlm munge
  } >"$dir/apt.log" 2>&1 || cannot "apt-get could not install slurm-wlm and munge, see $dir/apt.log"
}

# Jobs of "high" take the place of those of "low", which get 20 seconds to save and are requeued.
write_conf() {
  cat >"$SLURM_CONF" <<CONF
ClusterName=loopback
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPort=16817
SlurmdPort=16818
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=5,bf_interval=5,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=20
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc --all) State=UNKNOWN
PartitionName=low Nodes=$host Default=YES MaxTime=60 PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
PartitionName=high Nodes=$host MaxTime=60 PriorityTier=10 PreemptMode=OFF
CONF
}

start() {
  [ "$(id -u)" = 0 ] || cannot "it takes root to start a Slurm"
  stop
  install -d -m 755 "$dir" "$dir/state" "$dir/spool"
  install_packages
  getent ahostsv4 "$host" | grep -q '^127\.' || echo "127.0.0.1 $host" >>/etc/hosts
  write_conf
  (umask 077 && head -c 64 /dev/urandom >"$dir/munge.key")
  munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" \
    --pid-file="$dir/munged.pid" --log-file="$dir/munged.log" --seed-file="$dir/munge.seed" \
    >"$dir/start.log" 2>&1 || cannot "munged does not start, see $dir/start.log"
  { slurmctld && slurmd; } >>"$dir/start.log" 2>&1 || cannot "Slurm does not start, see $dir"
  for _ in $(seq 100); do
    answers && sinfo -h -o %T | grep -q idle && return
    sleep 0.2
  done
  cannot "Slurm was started and does not answer, see $dir/slurmctld.log"
}

if [ "${1:-}" = stop ]; then
  stop
  exit
fi
answers || start
echo "$SLURM_CONF"
