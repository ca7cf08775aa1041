// Package director joins configuration, health and roles into the services
// that the kernel should hold. Want is the decision, a pure function; Director
// is the loop that applies it and the only place that tries again.
package director
