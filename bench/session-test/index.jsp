<%@ page contentType="text/html;charset=UTF-8" import="java.net.InetAddress,java.util.Date" %>
<%
    Integer count = (Integer) session.getAttribute("count");
    count = count == null ? 1 : count + 1;
    session.setAttribute("count", count);
    String message = request.getParameter("message");
    if (message != null) {
        session.setAttribute("userMessage", message);
    }
%>
<!DOCTYPE html>
<html>
<head><title>Session test</title></head>
<body>
<h1>Session test</h1>
<p>Server: <%= InetAddress.getLocalHost().getHostName() %></p>
<p>Port: <%= request.getLocalPort() %></p>
<p>Session ID: <%= session.getId() %></p>
<p>Creation Time: <%= new Date(session.getCreationTime()) %></p>
<p>Last Access: <%= new Date(session.getLastAccessedTime()) %></p>
<p>Visit Count: <%= count %></p>
<p>Stored Message: <%= session.getAttribute("userMessage") %></p>
<p><a href="">Refresh</a></p>
</body>
</html>
