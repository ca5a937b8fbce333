// Two functions of UCX as a process sees them: with debug information, calling the driver through
// the PLT. The caller may hold the GIL; UCX knows nothing of it.

typedef int CUresult;
CUresult cuStreamAddCallback(void* stream, void* callback, void* data, unsigned flags);

static void event_happened(void* stream, CUresult status, void* data) {
  (void)stream, (void)status, (void)data;
}

__attribute__((noinline)) int uct_cuda_ipc_iface_event_fd_arm(void* iface, unsigned events) {
  (void)events;
  const CUresult status = cuStreamAddCallback(iface, (void*)event_happened, iface, 0);
  return status == 0 ? 0 : -3;
}

__attribute__((noinline)) int ucp_worker_arm(void* worker) {
  const int status = uct_cuda_ipc_iface_event_fd_arm(worker, 1);
  return status == 0 ? 0 : -1;
}
