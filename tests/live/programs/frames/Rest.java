// Parks its main thread below interpreted methods.
import java.util.concurrent.locks.LockSupport;

public class Rest {
  static int inner(int value) {
    System.out.println(
        "READY {\"pid\":" + ProcessHandle.current().pid() + ",\"threads\":{},\"settles\":{}}");
    while (value > 0) LockSupport.park();
    return value;
  }

  static int outer(int value) {
    return inner(value + 1) + 1;
  }

  public static void main(String[] arguments) {
    outer(1);
  }
}
