"""What kernels of four versions said when `echo c > /proc/sysrq-trigger` made them crash."""

PANICS = {
    "5.10": """\
[   10.390028] sysrq: Trigger a crash
[   10.391593] Kernel panic - not syncing: sysrq triggered crash
[   10.392047] CPU: 0 PID: 104 Comm: bash Not tainted 5.10.0-32-cloud-amd64 #1 Debian 5.10
[   10.392366] Hardware name: QEMU Standard PC (Q35 + ICH9, 2009), BIOS 1.16.2-debian-1.16
[   10.392792] Call Trace:
[   10.394536]  dump_stack+0x6b/0x83
[   10.394739]  panic+0x114/0x2f1
[   10.394834]  ? printk+0x58/0x73
[   10.394919]  sysrq_handle_crash+0x16/0x20
[   10.395042]  __handle_sysrq.cold+0x40/0x11a
[   10.395323]  write_sysrq_trigger+0x24/0x40
[   10.395438]  proc_reg_write+0x4e/0x90
[   10.395544]  vfs_write+0xc1/0x270
[   10.395636]  ksys_write+0x5f/0xe0
[   10.395728]  do_syscall_64+0x30/0x40
[   10.395829]  entry_SYSCALL_64_after_hwframe+0x67/0xd1
[   10.396485] RIP: 0033:0x7f4306d15350
[   10.399620] Kernel Offset: disabled
[   10.400717] ACPI MEMORY or I/O RESET_REG.
""",
    "6.1": """\
[   10.248740] sysrq: Trigger a crash
[   10.250184] Kernel panic - not syncing: sysrq triggered crash
[   10.250603] CPU: 0 PID: 113 Comm: bash Not tainted 6.1.0-50-cloud-amd64 #1  Debian 6.1.
[   10.250965] Hardware name: QEMU Standard PC (Q35 + ICH9, 2009), BIOS 1.16.2-debian-1.16
[   10.251355] Call Trace:
[   10.252884]  <TASK>
[   10.253204]  dump_stack_lvl+0x44/0x5c
[   10.253729]  panic+0x118/0x2f4
[   10.253837]  ? _printk+0x68/0x83
[   10.253945]  sysrq_handle_crash+0x16/0x20
[   10.254084]  __handle_sysrq.cold+0x41/0x11c
[   10.254202]  write_sysrq_trigger+0x24/0x40
[   10.254308]  proc_reg_write+0x53/0xa0
[   10.254409]  vfs_write+0xc4/0x3f0
[   10.254498]  ? do_dup2+0x96/0xd0
[   10.254588]  ? exit_to_user_mode_prepare+0x44/0x240
[   10.254710]  ? syscall_exit_to_user_mode+0x1e/0x40
[   10.254829]  ? do_syscall_64+0x69/0x90
[   10.254936]  ksys_write+0x6b/0xf0
[   10.255030]  do_syscall_64+0x5d/0x90
[   10.255120]  ? do_user_addr_fault+0x1b0/0x550
[   10.255240]  ? exit_to_user_mode_prepare+0x44/0x240
[   10.255358]  entry_SYSCALL_64_after_hwframe+0x6e/0xd8
[   10.255721] RIP: 0033:0x7f598817c350
[   10.258067]  </TASK>
[   10.258920] Kernel Offset: disabled
""",
    "6.12": """\
[    9.377311] sysrq: Trigger a crash
[    9.378427] Kernel panic - not syncing: sysrq triggered crash
[    9.378934] CPU: 0 UID: 0 PID: 162 Comm: bash Not tainted 6.12.107+deb13-cloud-amd64 #1
[    9.379240] Hardware name: QEMU Standard PC (Q35 + ICH9, 2009), BIOS 1.16.2-debian-1.16
[    9.379540] Call Trace:
[    9.380280]  <TASK>
[    9.380741]  dump_stack_lvl+0x5d/0x80
[    9.381226]  panic+0x118/0x2db
[    9.381336]  ? _printk+0x6c/0x87
[    9.381398]  sysrq_handle_crash+0x1a/0x20
[    9.381476]  __handle_sysrq.cold+0x9c/0xe6
[    9.381541]  write_sysrq_trigger+0x59/0x90
[    9.381641]  proc_reg_write+0x57/0xa0
[    9.381742]  vfs_write+0xf5/0x440
[    9.381841]  ksys_write+0x6d/0xf0
[    9.381932]  do_syscall_64+0x87/0x180
[    9.382020]  ? do_user_addr_fault+0x36c/0x620
[    9.382123]  ? arch_exit_to_user_mode_prepare.isra.0+0x16/0xa0
[    9.382249]  entry_SYSCALL_64_after_hwframe+0x76/0x7e
[    9.382650] RIP: 0033:0x7fed5b94f350
[    9.384235]  </TASK>
[    9.384916] Kernel Offset: disabled
""",
    "7.2": """\
[   15.396558] sysrq: Trigger a crash
[   15.405589] Kernel panic - not syncing: sysrq triggered crash
[   15.406493] CPU: 0 UID: 0 PID: 126 Comm: bash Not tainted 7.2.13+deb14-cloud-amd64 #1 P
[   15.406920] Hardware name: QEMU Standard PC (Q35 + ICH9, 2009), BIOS 1.16.2-debian-1.16
[   15.407389] Call Trace:
[   15.412608]  <TASK>
[   15.413274]  dump_stack_lvl+0x5d/0x80
[   15.413782]  vpanic+0x246/0x440
[   15.413880]  panic+0x6b/0x70
[   15.413967]  sysrq_handle_crash+0x1a/0x20
[   15.414090]  __handle_sysrq.cold+0xba/0x1b9
[   15.414203]  ? security_file_permission+0x55/0x100
[   15.414324]  write_sysrq_trigger+0x7b/0xd0
[   15.414427]  proc_reg_write+0x5a/0xb0
[   15.414523]  vfs_write+0xe6/0x560
[   15.414612]  ? terminate_walk+0xd2/0xf0
[   15.414718]  ksys_write+0x7b/0x110
[   15.414807]  do_syscall_64+0xe1/0x610
[   15.414909]  ? filp_flush+0x58/0x80
[   15.414997]  ? filp_close+0x25/0x40
[   15.415083]  ? do_dup2+0xb0/0x150
[   15.415166]  ? lruvec_stat_mod_folio+0x93/0xd0
[   15.415273]  ? ksys_dup3+0x73/0x110
[   15.415362]  ? __x64_sys_dup2+0x24/0x120
[   15.415464]  ? update_cfs_rq_load_avg+0x1a/0x240
[   15.415579]  ? task_tick_fair+0x17a/0x5f0
[   15.415673]  ? sched_clock+0x10/0x30
[   15.415761]  ? sched_clock_cpu+0xf/0x230
[   15.415858]  ? filp_flush+0x58/0x80
[   15.420211]  ? perf_event_task_tick+0x4f/0xb0
[   15.420387]  ? sched_tick+0xdd/0x230
[   15.420483]  ? __pfx_tick_nohz_handler+0x10/0x10
[   15.420597]  ? update_process_times+0x95/0xc0
[   15.420701]  ? timerqueue_linked_add+0x9a/0xf0
[   15.420809]  ? enqueue_hrtimer+0x46/0xc0
[   15.420906]  ? __hrtimer_run_queues+0x148/0x270
[   15.421014]  ? hrtimer_update_next_event+0x90/0x140
[   15.421222]  ? lapic_next_event+0x15/0x20
[   15.421324]  ? clockevents_program_event+0x10b/0x240
[   15.421434]  ? hrtimer_interrupt+0x156/0x200
[   15.421537]  ? __hrtimer_rearm_deferred+0x62/0x140
[   15.421647]  ? do_syscall_64+0x98/0x610
[   15.421736]  ? __sysvec_apic_timer_interrupt+0x58/0x110
[   15.421855]  entry_SYSCALL_64_after_hwframe+0x76/0x7e
[   15.422301] RIP: 0033:0x7f30323a4350
[   15.428485]  </TASK>
[   15.429724] Kernel Offset: disabled
""",
}
