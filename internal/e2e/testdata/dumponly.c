/*
 * Preloaded into keepalived, so that it reads a configuration, dumps it and
 * ends: its children end where they would begin to wait, the kernel's IPVS
 * seems to answer everything, and no program is ever run.
 */
typedef int (*callback)(void *msg, void *arg);

enum { NL_CB_FINISH = 1, NL_CB_ACK = 4, KINDS = 16 };

extern int _Fork(void);
extern void _exit(int);
extern int epoll_pwait(int, void *, int, int, const void *);

static callback calls[KINDS];
static void *args[KINDS];
static int child;

int nl_socket_modify_cb(void *sk, int type, int kind, callback fn, void *arg)
{
	if (type >= 0 && type < KINDS) {
		calls[type] = fn;
		args[type] = arg;
	}
	return 0;
}

int nl_recvmsgs_default(void *sk)
{
	if (calls[NL_CB_FINISH])
		calls[NL_CB_FINISH](0, args[NL_CB_FINISH]);
	if (calls[NL_CB_ACK])
		calls[NL_CB_ACK](0, args[NL_CB_ACK]);
	return 0;
}

int nl_send_auto(void *sk, void *msg) { return 0; }
int genl_connect(void *sk) { return 0; }
int genl_ctrl_resolve(void *sk, const char *name) { return 40; }

int fork(void)
{
	int pid = _Fork();
	if (pid == 0)
		child = 1;
	return pid;
}

int epoll_wait(int fd, void *events, int n, int timeout)
{
	if (child)
		_exit(0);
	return epoll_pwait(fd, events, n, timeout, 0);
}

int execve(const char *path, char *const argv[], char *const env[]) { return -1; }
int execv(const char *path, char *const argv[]) { return -1; }
int system(const char *command) { return -1; }
void *popen(const char *command, const char *mode) { return 0; }
