"""The kernel patches itself with int3 of its own, thousands at once, while fifty breakpoints of ours stand."""

import re
import unittest

import case
from harness.gdb import Gdb
from harness.guest import Guest

TOGGLES, POINTS = 20, 50
INIT = f"""mount -t tracefs tracefs /sys/kernel/tracing
(while :; do cat /etc/greeting >/dev/null; ls / >/dev/null; usleep 50000; done) &
(i=0; while :; do i=$((i+1)); echo tick $i; usleep 200000; done) &
# Of the 40,000 functions those that the guest is busy with: the lab needs 20 s to patch all of them once.
for glob in 'vfs_*' 'do_*' 'ksys_*' 'mmap_*' '*_exec*' '*fault*' '*open*' 'exit_*' '*_wait*' 'n_tty_*' '*_fork*'; do
  echo "$glob" >>/sys/kernel/tracing/set_ftrace_filter
done
echo soak: ready, $(wc -l </sys/kernel/tracing/set_ftrace_filter) functions
read go
i=0
while [ $i -lt {TOGGLES} ]; do
  i=$((i+1))
  echo function >/sys/kernel/tracing/current_tracer
  usleep 50000
  traced=$(head -40 /sys/kernel/tracing/trace | grep -vc '^#')
  echo nop >/sys/kernel/tracing/current_tracer
  echo soak: toggle $i, $traced lines traced
done
dmesg | grep -E 'Oops|BUG|WARNING: CPU|int3|Call Trace|ftrace bug|stall' >/tmp/complaints
cat /tmp/complaints
echo soak: $(wc -l </tmp/complaints) complaints
while :; do sleep 10; done"""
FUNCTIONS = """do_sys_openat2 do_filp_open path_openat vfs_open vfs_read vfs_write ksys_write ksys_read kernel_clone do_exit
    wake_up_new_task copy_process mmput do_mmap vm_mmap_pgoff mmap_region do_munmap unmap_region free_pgtables filp_close
    getname_flags alloc_empty_file do_dup2 vfs_statx vfs_fstat bprm_execve load_elf_binary begin_new_exec setup_arg_pages
    do_wait release_task do_group_exit exit_files schedule_tail do_nanosleep hrtimer_nanosleep iterate_dir vfs_getattr
    do_fcntl sys_fcntl do_sigaction do_open_execat alloc_bprm exec_mmap flush_old_exec do_brk_flags expand_stack exit_mmap
    tty_write n_tty_write tty_release chrdev_open misc_open cdev_get open_exec mm_release copy_strings_kernel
    get_arg_page create_elf_tables padzero elf_map prepare_creds commit_creds put_cred_rcu override_creds
    set_task_comm wait_consider_task unshare_files put_files_struct free_fdtable_rcu dentry_open terminate_walk
    complete_walk lookup_fast step_into walk_component link_path_walk may_open do_truncate mntput_no_expire dput
    mmap_write_lock __vma_adjust vma_merge split_vma __split_vma vm_area_dup remove_vma anon_vma_clone anon_vma_fork
    unlink_anon_vmas exit_notify exit_sem exit_shm exit_fs proc_flush_pid __exit_signal __put_task_struct""".split()


class Ftrace(case.Case):
    def behind_fentry(self, one: Gdb, function: str) -> int | None:
        """Where the instruction is that follows the function's five patched bytes."""
        listing = one.run(f"x/2i {function}")
        found = re.match(r"(?:=> )?\s*(0x[0-9a-f]+) <\w+>:\s+nopl .*\n\s*(0x[0-9a-f]+) <\w+\+5>:", listing)
        return int(found[2], 16) if found else None

    def hits(self, one: Gdb) -> list[int]:
        return [int(hits) for hits in re.findall(r"^break 0x\w+, .*: (\d+) hits", one.run("monitor probes"), re.M)]

    def test_no_int3_of_the_guest_is_lost_while_breakpoints_stand(self) -> None:
        with Guest(init=INIT, cpus=2, gdb=True) as guest, Gdb(guest, attach=False) as one:
            guest.wait_for("soak: ready")
            one.run(f"target remote {guest.target}")
            places = sorted({at for name in FUNCTIONS if (at := self.behind_fentry(one, name))})[:POINTS]
            self.assertEqual(len(places), POINTS)
            one.run("set breakpoint always-inserted on")
            for at in places:
                one.run(f"break *{at:#x} if $rsp == 1")
            one.start_continue()
            guest.type("go\n")
            complaints = guest.wait_for(r"soak: (\d+) complaints", timeout=100)[1]
            self.assertEqual(complaints, "0", guest.console[-3000:])
            traced = [int(lines) for lines in re.findall(r"soak: toggle \d+, (\d+) lines", guest.console)]
            self.assertEqual(len(traced), TOGGLES)
            self.assertGreater(min(traced), 10)
            self.assertNotRegex(guest.console, "Oops|BUG:|WARNING:|panic")
            guest.next(r"tick \d+")
            self.assertTrue(one.busy)
            one.interrupt()
            one.finish()
            before = self.hits(one)
            one.start_continue()
            guest.next(r"tick \d+")
            guest.next(r"tick \d+")
            one.interrupt()
            one.finish()
            after = self.hits(one)
            self.assertEqual((len(before), len(after)), (POINTS, POINTS))
            self.assertGreater(sum(hits > 0 for hits in before), 20)
            self.assertGreater(sum(after), sum(before))
            one.quit()


if __name__ == "__main__":
    unittest.main()
