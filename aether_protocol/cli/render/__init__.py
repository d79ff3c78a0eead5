"""What people and machines read: text, JSON, SARIF, pictures. Renderers get data and decide nothing."""
