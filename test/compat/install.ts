/** Before the suite: installs the clients that its tests need. */
import { installClients } from "./clients";

await installClients();
